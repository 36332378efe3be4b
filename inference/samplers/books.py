"""Where failed solves are counted: a book for every density, also for those that share a compiled program."""

from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int


class Book(NamedTuple):
    """How often the density of each chain was zero for want of a solve, and the subjects that could not be solved.

    The last chain stands for the stages before chains.
    """

    failures: Int[np.ndarray, " chain"]
    unsolved: Int[np.ndarray, "chain subject"]


class Books:
    """The books of a program. Whoever asks it for a value gives the number of a book and of a chain."""

    def __init__(self, num_subjects: int):
        self._num_subjects = max(num_subjects, 1)
        self._books: list[Book] = []
        self._lock = Lock()  # fits side by side open theirs at once

    def open(self, num_chains: int) -> tuple[int, Book]:
        """A book in which nothing is counted yet, and its number."""
        book = Book(np.zeros(num_chains + 1, int), np.zeros((num_chains + 1, self._num_subjects), int))
        with self._lock:
            self._books.append(book)
            return len(self._books) - 1, book

    def count(self, asker: Any, failed: Any, solved: Any) -> None:
        """Count the lanes that failed, [lane], for the book and chain that asked, [lane, 2]; `solved` is [lane, subject]."""
        failed = np.asarray(failed)
        for (number, chain), found in zip(np.asarray(asker)[failed], np.asarray(solved)[failed], strict=True):
            book = self._books[number]
            book.failures[chain] += 1
            book.unsolved[chain] += ~found
