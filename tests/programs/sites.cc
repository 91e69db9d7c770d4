// Call sites that are known: sites LEAKS. fill() keeps nodes until the end of main, leak() never
// frees, temp() frees at once; what they call in the library is not theirs to be named.
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

static std::map<int, std::vector<int>> table;

__attribute__((noinline)) void fill(int count)
{
	for (int i = 0; i < count; i++)
		for (int j = 0; j < 64; j++)
			table[i].push_back(j);
}

__attribute__((noinline)) char *leak(int count)
{
	char *last = nullptr;

	for (int i = 0; i < count; i++) {
		last = static_cast<char *>(malloc(1000));
		__asm__ volatile("" : : "r"(last) : "memory");
	}
	return last;
}

__attribute__((noinline)) void temp(int count)
{
	for (int i = 0; i < count; i++) {
		auto block = std::make_unique<int[]>(25);

		__asm__ volatile("" : : "r"(block.get()) : "memory");
	}
}

int main(int argc, char **argv)
{
	fill(2000);
	leak(argc > 1 ? atoi(argv[1]) : 10);
	temp(5000);
	table.clear();
	return 0;
}
