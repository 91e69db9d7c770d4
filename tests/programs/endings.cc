// endings KIND: allocations at the times when others have stopped: destructors of threads and of the
// program, exit handlers, threads that go on. Every kind of block has a size of its own, so that a test
// can count them; what is expected is printed as size,mallocs,frees.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <pthread.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace
{
void *parcel;
pthread_key_t key;
thread_local int rounds;

void pair(size_t size)
{
	void *volatile block = malloc(size); // or the compiler would leave both out

	free(block);
}

// Last of all destructors of a thread: it allocates, and asks to be called again.
void key_destructor(void *block)
{
	free(block);
	pair(6002);
	if (rounds++ < 2)
		pthread_setspecific(key, malloc(6003));
}

struct Late {
	void *kept = nullptr;
	~Late()
	{
		free(kept);
		pair(6001);
	}
};
thread_local Late late;

void short_lived(int count)
{
	pthread_key_create(&key, key_destructor);
	for (int i = 0; i < count; i++) {
		std::thread thread([] {
			late.kept = malloc(6005);
			pthread_setspecific(key, malloc(6003));
			parcel = malloc(6004);
		});
		thread.join();
		free(parcel); // by a thread that outlives its allocator
	}
	printf("6001,%d,%d\n6002,%d,%d\n6003,%d,%d\n6004,%d,%d\n6005,%d,%d\n", count, count,
	       3 * count, 3 * count, 3 * count, 3 * count, count, count, count, count);
}

struct AtEnd {
	~AtEnd()
	{
		pair(6011);
	}
} at_end;

void exit_handler()
{
	pair(6012);
}

__attribute__((destructor)) void destructor()
{
	pair(6013);
}

std::atomic<int> begun;

__attribute__((noreturn)) void *endless(void *)
{
	pair(6014);
	begun++;
	for (;;)
		pair(6014);
}

void *outlives_main(void *)
{
	usleep(100000);
	pair(6015);
	return nullptr;
}
} // namespace

int main(int argc, char **argv)
{
	const std::string kind = argc > 1 ? argv[1] : "";
	pthread_t thread;

	atexit(exit_handler);
	setvbuf(stdout, nullptr, _IONBF, 0);
	if (kind == "short")
		short_lived(argc > 2 ? atoi(argv[2]) : 1000);
	printf("6011,1,1\n6012,1,1\n6013,1,1\n");
	if (kind == "alive") {
		for (int i = 0; i < 3; i++)
			pthread_create(&thread, nullptr, endless, nullptr);
		while (begun < 3)
			usleep(1000);
		return 6;
	}
	if (kind == "main") {
		printf("6015,1,1\n");
		pthread_create(&thread, nullptr, outlives_main, nullptr);
		pthread_exit(nullptr);
	}
	return 5;
}
