"""A bank whose accounts are actors. Their processes are killed at random, and no money is lost or made.

Each account writes its calls to a log before it answers them, and counts each call once: `effectively_once`. What moves
between two accounts is a transfer with a number, which the teller repeats until both sides have it, and which each side
carries out once.
"""

import os
import random
import signal

from bireme import ActorError, Client, every, method

ACCOUNTS = 4
TRANSFERS = 100
KILLS = 8
OPENING = 1_000


class Account:
    """Money, and the transfers that it came from and went to."""

    def __init__(self, owner):
        self.owner = owner
        self.balance = OPENING
        self.transfers = {}

    def book(self, number, amount):
        """Adds an amount, which may be negative, once for each number of a transfer."""
        if number not in self.transfers:
            self.transfers[number] = amount
            self.balance += amount
        return self.balance

    def statement(self):
        """The balance and what has led to it."""
        return self.balance, dict(self.transfers)

    @method(delivery="at_most_once")
    def process(self):
        """The process that it lives in: another one after a crash, so that nobody may rely on it."""
        return os.getpid()


def transfer(number, source, target, amount):
    """Begins to move an amount. Both bookings are under way when it returns."""
    return source.book(number, -amount), target.book(number, amount)


def kill(account):
    """Kills the process of an account, whatever it is doing."""
    try:
        os.kill(account.process().result(), signal.SIGKILL)
    except (ActorError, ProcessLookupError):
        pass  # It is being started again already.


def audit(accounts):
    """The total of all accounts. Raises AssertionError if a transfer has happened in part, or twice."""
    statements = [account.statement().result() for account in accounts]
    sums = {}
    for balance, transfers in statements:
        assert balance == OPENING + sum(transfers.values())
        for number, amount in transfers.items():
            sums[number] = sums.get(number, 0) + amount
    assert not any(sums.values()), "a transfer has happened in part"
    return sum(balance for balance, _ in statements), len(sums)


def main():
    """Makes accounts, moves money between them while they crash, and audits the bank."""
    dice = random.Random(4)
    with Client() as client:
        options = {"delivery": "effectively_once", "checkpoint": every(n=20), "max_restarts": -1}
        accounts = [client.actor(Account, f"owner {n}", **options) for n in range(ACCOUNTS)]
        bookings = []
        for number in range(TRANSFERS):
            source, target = dice.sample(accounts, 2)
            bookings += transfer(number, source, target, dice.randint(1, 100))
            if number % (TRANSFERS // KILLS) == 0:
                kill(dice.choice(accounts))
        client.gather(bookings)
        total, transfers = audit(accounts)
        restarts = sum(actor["restarts"] for actor in client.list_actors("class=Account"))
        print(f"{transfers} transfers, {restarts} crashes, total {total}")
        assert (total, transfers) == (ACCOUNTS * OPENING, TRANSFERS)


if __name__ == "__main__":
    main()
