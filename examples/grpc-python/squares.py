"""Runs a graph of commands on a Bireme cluster, with nothing but grpcio and the stubs that protoc makes of proto/.

Eight tasks square a number each, one adds the squares up. The script submits them, follows them to their end, reads
the sum and what the last task printed to standard error, and leaves nothing behind.
"""

import argparse
import os
import secrets
import sys
import tomllib

import grpc

from bireme.v1 import cluster_pb2, cluster_pb2_grpc, graph_pb2, session_pb2, store_pb2, store_pb2_grpc

SQUARES = 8
PATIENCE_US = 20_000_000


def access(path):
    """Address and token of the cluster, from the file that its scheduler wrote for this user."""
    with open(path, "rb") as file:
        entries = tomllib.load(file)
    return entries["address"].removeprefix("http://"), entries["token"]


def default_access_file():
    if path := os.environ.get("BIREME_ACCESS_FILE"):
        return path
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return os.path.join(runtime, "bireme/access.toml")
    return f"/tmp/bireme-{os.getuid()}/access.toml"


def command(*argv, files=()):
    """The payload of a command; only the worker unpacks it. A file is a path and the number of the input that it holds."""
    work = graph_pb2.Command(argv=argv, stderr=graph_pb2.CAPTURE_LOG)
    for path, number in files:
        work.files.append(graph_pb2.InputFile(path=path, content=graph_pb2.Arg(input=number)))
    return graph_pb2.Payload(command=work).SerializeToString()


def graph():
    """The whole graph in one chunk: tasks are numbered as they stand, and name each other by these numbers."""
    script = 'echo "squaring $1" >&2; echo $(($1 * $1))'
    tasks = [
        graph_pb2.TaskSpec(key=f"square[{n}]", payload=command("sh", "-c", script, "sh", str(n + 1)))
        for n in range(SQUARES)
    ]
    script = 'echo "adding up $# squares" >&2; cat "$@" | awk "{ n += \\$1 } END { print n }"'
    paths = [f"in/{n}" for n in range(SQUARES)]
    tasks.append(
        graph_pb2.TaskSpec(
            key="sum",
            deps=range(SQUARES),
            payload=command("sh", "-c", script, "sh", *paths, files=zip(paths, range(SQUARES))),
        )
    )
    runtime = graph_pb2.Runtime(kind=graph_pb2.RUNTIME_KIND_COMMAND)
    return graph_pb2.GraphChunk(
        submission_id=secrets.token_bytes(16),
        tasks=tasks,
        classes=[graph_pb2.TaskClass(runtime=runtime)],
        options=graph_pb2.GraphOptions(name="squares"),
        last=True,
    )


def follow(call, cluster, number):
    """Tells how the graph comes along until it is done, and fails if one of its tasks did."""
    for message in call(cluster.WatchGraph, cluster_pb2.WatchGraphRequest(graph=number)):
        counts = message.update.counts
        print(f"{counts.finished} of {counts.total} tasks finished", file=sys.stderr)
    answer = call(cluster.WaitGraph, cluster_pb2.WaitGraphRequest(graph=number, max_wait_us=PATIENCE_US))
    for task in answer.failures:
        print(f"{task.key} failed: {task.error}", file=sys.stderr)
    if answer.pending or answer.failures:
        sys.exit("the graph did not finish")


def result(call, cluster, store, task):
    """The bytes of a task's output: in the answer if they are few, else fetched, through the scheduler."""
    while True:
        answer = call(cluster.GetResult, cluster_pb2.GetResultRequest(task=task, max_wait_us=PATIENCE_US))
        if not answer.pending:
            break
    if answer.HasField("error"):
        sys.exit(f"there is no result: {answer.error.message}")
    if answer.HasField("value"):
        return b"".join(buffer.inline for buffer in answer.value.buffers)
    parts = call(store.Fetch, store_pb2.FetchRequest(object=answer.object))
    return b"".join(part.chunk.data for part in parts if part.HasField("chunk"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--access-file", default=default_access_file(), help="the file that the scheduler wrote")
    address, token = access(parser.parse_args().access_file)
    session = secrets.token_bytes(16)

    def call(method, request):
        return method(request, metadata=[("authorization", f"Bearer {token}")])

    with grpc.insecure_channel(address) as channel:
        cluster, store = cluster_pb2_grpc.ClusterStub(channel), store_pb2_grpc.StoreStub(channel)
        opening = session_pb2.OpenSession(token=session, name="grpc-python")
        call(cluster.OpenSession, cluster_pb2.OpenSessionRequest(open=opening))
        submission = cluster_pb2.SubmitGraphRequest(session=session, chunk=graph())
        number = call(cluster.SubmitGraph, submission).graph
        follow(call, cluster, number)
        total = cluster_pb2.TaskSelector(key=cluster_pb2.TaskKey(graph=number, key="sum"))
        print("result:", result(call, cluster, store, total).decode().strip())
        for piece in call(cluster.TaskLogs, cluster_pb2.TaskLogsRequest(task=total)):
            print("log:", piece.text.decode().strip())
        # The graph goes with its session.
        close = session_pb2.CloseSession(submission_id=secrets.token_bytes(16))
        call(cluster.CloseSession, cluster_pb2.CloseSessionRequest(session=session, close=close))


if __name__ == "__main__":
    main()
