"""A counter that lives in a cluster. With `dask.distributed` in place of `bireme` in the import it is dask's own example."""

from bireme import Client


class Counter:
    """A simple class to manage an incrementing counter"""

    n = 0

    def __init__(self):
        self.n = 0

    def increment(self):
        self.n += 1
        return self.n

    def add(self, x):
        self.n += x
        return self.n


if __name__ == "__main__":
    with Client() as client:
        future = client.submit(Counter, actor=True)  # Makes a counter on a worker.
        counter = future.result()  # A handle of it.

        future = counter.increment()  # Calls a method there.
        print(future.result())

        future = counter.add(10)
        print(future.result())

        print(counter.n)
