"""A parameter server: one actor has the weights of a model, and tasks on all workers train it together.

The model is softmax regression on scikit-learn's digits. Each task has a part of the data. Again and again it fetches the
weights, computes a gradient and pushes it, without waiting for the others: the server applies what comes, as it comes.
Fetches have a lane of their own, so that no worker waits for the pushes of another.
"""

import threading

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bireme import Client, method

WORKERS = 3
ROUNDS = 30
BATCH = 64
CLASSES = 10
RATE = 0.5


class ParameterServer:
    """Has the weights, and takes gradients."""

    def __init__(self, features, classes):
        self.weights = np.zeros((features, classes))
        self.version = 0
        self.lock = threading.Lock()

    def push(self, gradient):
        """Takes a step. Returns how many were taken."""
        with self.lock:
            self.weights = self.weights - RATE * gradient
            self.version += 1
            return self.version

    @method(lane="fetch")
    def fetch(self):
        """The weights as they are now."""
        return self.weights

    def __checkpoint__(self):
        return self.weights, self.version

    def __restore__(self, state):
        (self.weights, self.version), self.lock = state, threading.Lock()


def probabilities(weights, images):
    """How likely each image shows each digit."""
    scores = images @ weights
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def gradient(weights, images, digits):
    """Where the weights should not go."""
    error = probabilities(weights, images)
    error[np.arange(len(digits)), digits] -= 1
    return images.T @ error / len(digits)


def train(server, images, digits, seed):
    """A task: trains on its part of the data. Returns how many steps it contributed."""
    dice = np.random.default_rng(seed)
    pushed = None
    for _ in range(ROUNDS):
        batch = dice.choice(len(digits), BATCH)
        weights = server.fetch().result()
        if pushed is not None:
            pushed.result()  # At most one step is under way.
        pushed = server.push(gradient(weights, images[batch], digits[batch]))
    pushed.result()
    return ROUNDS


def accuracy(weights, images, digits):
    """Which part of the images is read as what it is."""
    return float((probabilities(weights, images).argmax(axis=1) == digits).mean())


def main():
    """Trains, and tells how well the model reads digits that it has not seen."""
    images, digits = load_digits(return_X_y=True)
    parts = train_test_split(images / 16.0, digits, test_size=0.25, random_state=0)
    train_images, test_images, train_digits, test_digits = parts
    with Client() as client:
        server = client.actor(ParameterServer, train_images.shape[1], CLASSES, lanes={"fetch": 4})
        print(f"before: {accuracy(server.fetch().result(), test_images, test_digits):.2f}")
        data = zip(np.array_split(train_images, WORKERS), np.array_split(train_digits, WORKERS), range(WORKERS), strict=True)
        tasks = [client.submit(train, server, *part) for part in data]
        steps = sum(client.gather(tasks))
        reached = accuracy(server.fetch().result(), test_images, test_digits)
        print(f"after {steps} steps of {WORKERS} tasks: {reached:.2f}")
        assert server.version == steps
        assert reached > 0.85


if __name__ == "__main__":
    main()
