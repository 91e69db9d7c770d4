#!/bin/sh
# python3's multiprocessing by each way to start a process: pools, queues, shared memory, locks.
. "$(dirname "$0")/lib.sh"
need python3
cat >work.py <<'PY'
import multiprocessing, sys, time
from multiprocessing import shared_memory

def square(n):
    return sum(len(str(i)) for i in range(n)), n * n

def produce(queue, lock, name, n):
    memory = shared_memory.SharedMemory(name)
    for i in range(300):
        queue.put((n, "x" * i))
        with lock:
            memory.buf[0] = (memory.buf[0] + 1) % 256
    queue.put(None)
    memory.close()

def wait(ready):
    ready.set()
    time.sleep(1000)

def main(method):
    context = multiprocessing.get_context(method)
    with context.Pool(4) as pool:
        print(method, sum(square for _, square in pool.map(square, range(200), 7)))
        print(pool.apply_async(square, (1000,)).get())
        pool.close()
        pool.join()
    queue, lock = context.Queue(), context.Lock()
    memory = shared_memory.SharedMemory(create=True, size=64)
    workers = [context.Process(target=produce, args=(queue, lock, memory.name, n)) for n in range(5)]
    for worker in workers:
        worker.start()
    ended, total = 0, 0
    while ended < 5:
        item = queue.get()
        ended += item is None
        total += len(item[1]) if item else 0
    for worker in workers:
        worker.join()
    print(total, memory.buf[0], [worker.exitcode for worker in workers])
    memory.close()
    memory.unlink()
    ready = context.Event()
    killed = context.Process(target=wait, args=(ready,))
    killed.start()
    ready.wait()
    killed.terminate()
    killed.join()
    print(killed.exitcode)

if __name__ == "__main__":
    main(sys.argv[1])
    sys.exit(5)
PY
for method in fork spawn forkserver; do
	identical python3 work.py "$method"
	is "status" "$status" 5
	nothing_left
	# The program itself, 4 of the pool, 5 producers and the one that is killed, by pid; spawn and
	# forkserver have a resource tracker, forkserver its server.
	tree_whole 11
	is "killed by its parent" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run
		AND exit_signal = 15")" 1
done
pass
