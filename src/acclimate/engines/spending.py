"""What a server has taken so far, and the ceiling it must not pass."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from acclimate.engines.cost import money
from acclimate.engines.spec import Prices, ServerExecution


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used on an account; replies found in the log cost nothing and do not count."""

    n_answers: int
    n_retries: int
    prompt_tokens: int
    """As the server counts them."""
    reply_tokens: int
    lost_tokens: int
    """At most so many went to attempts that gave no answer but may be on the bill."""
    n_unmetered: int
    """Answers without the server's count; the most they may have used is counted."""
    money: float | None
    """By the given prices, lost tokens included; None without prices."""

    def beyond(self, before: "Usage") -> "Usage":
        """Return what was used after an earlier look at the same account."""
        paid = None if self.money is None or before.money is None else self.money - before.money
        return Usage(
            n_answers=self.n_answers - before.n_answers,
            n_retries=self.n_retries - before.n_retries,
            prompt_tokens=self.prompt_tokens - before.prompt_tokens,
            reply_tokens=self.reply_tokens - before.reply_tokens,
            lost_tokens=self.lost_tokens - before.lost_tokens,
            n_unmetered=self.n_unmetered - before.n_unmetered,
            money=paid,
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens that requests at the server may still use."""

    prompt: int
    reply: int


class Spending:
    """The account: tokens used, and tokens held for what is at the server. Safe between threads.

    A request is sent only where the most it may use still fits under the ceiling, so the ceiling is not
    passed while the bounds hold. A prompt that was longer than its bound raises all later bounds alike.
    """

    def __init__(self, prices: Prices | None, budget: float | None, budget_tokens: int | None) -> None:
        """Start at nothing.

        Args:
            budget: needs prices; None sets no ceiling, as for `budget_tokens`.
        """
        self._prices = prices
        self._budget = budget
        self._budget_tokens = budget_tokens
        self._lock = threading.Lock()
        self._used = Reservation(0, 0)
        self._lost = Reservation(0, 0)
        self._held = Reservation(0, 0)
        self._n_answers = self._n_retries = self._n_unmetered = 0
        self._excess = 1.0

    def reserve(self, most_prompt: int, most_reply: int) -> Reservation | None:
        """Hold tokens for a request that is about to be sent; None where they do not fit any more."""
        with self._lock:
            wanted = Reservation(round(most_prompt * self._excess), most_reply)
            if not self._fits(wanted):
                return None
            self._held = _sum(self._held, wanted)
            return wanted

    def release(self, held: Reservation) -> None:
        """Give back what was held for a request that has come to its end."""
        with self._lock:
            self._held = Reservation(self._held.prompt - held.prompt, self._held.reply - held.reply)

    def spend(self, prompt: int | None, reply: int | None, most: Reservation) -> None:
        """Count one answer: what the server says it used, or the most where it does not say.

        Args:
            most: the bounds of this one answer, as they were given to `reserve`.
        """
        with self._lock:
            self._n_answers += 1
            if prompt is None or reply is None:
                self._n_unmetered += 1
                self._used = _sum(self._used, most)
                return
            if prompt > most.prompt > 0:
                self._excess = max(self._excess, prompt / most.prompt)
            self._used = _sum(self._used, Reservation(prompt, reply))

    def lose(self, most: Reservation) -> bool:
        """Count an attempt without an answer that may be on the bill.

        Returns:
            Whether the ceiling still holds.
        """
        with self._lock:
            self._lost = _sum(self._lost, most)
            return self._fits(Reservation(0, 0))

    def retried(self) -> None:
        """Count an attempt after the first."""
        with self._lock:
            self._n_retries += 1

    def usage(self) -> Usage:
        """Return what has been used until now."""
        with self._lock:
            total = _sum(self._used, self._lost)
            return Usage(
                n_answers=self._n_answers,
                n_retries=self._n_retries,
                prompt_tokens=self._used.prompt,
                reply_tokens=self._used.reply,
                lost_tokens=self._lost.prompt + self._lost.reply,
                n_unmetered=self._n_unmetered,
                money=None if self._prices is None else money(self._prices, total.prompt, total.reply),
            )

    def ceiling(self) -> str:
        """Return the ceilings in words, with what has been used of each."""
        usage = self.usage()
        words = []
        if self._budget is not None and usage.money is not None:
            words.append(f"{usage.money:.4f} of `budget` {self._budget:g}")
        if self._budget_tokens is not None:
            used = usage.prompt_tokens + usage.reply_tokens + usage.lost_tokens
            words.append(f"{used} of `budget_tokens` {self._budget_tokens}")
        return " and ".join(words)

    def _fits(self, more: Reservation) -> bool:
        total = _sum(_sum(self._used, self._lost), _sum(self._held, more))
        if self._budget_tokens is not None and total.prompt + total.reply > self._budget_tokens:
            return False
        if self._budget is None or self._prices is None:
            return True
        return money(self._prices, total.prompt, total.reply) <= self._budget


def _sum(a: Reservation, b: Reservation) -> Reservation:
    return Reservation(a.prompt + b.prompt, a.reply + b.reply)


class Accounts:
    """The accounts of one command: a model that is opened again goes on with its own."""

    def __init__(self) -> None:
        """Start without any."""
        self._by_key: dict[tuple[str, str], Spending] = {}
        self._names: dict[tuple[str, str], str] = {}

    def usages(self) -> dict[tuple[str, str], Usage]:
        """Return what each account has used until now."""
        return {key: each.usage() for key, each in self._by_key.items()}

    def since(self, before: Mapping[tuple[str, str], Usage]) -> list[tuple[str, Usage]]:
        """Return what each model has used beyond an earlier `usages`, of those that used anything."""
        spent = [
            (self._names[key], now.beyond(before[key]) if key in before else now)
            for key, now in self.usages().items()
        ]
        return [(name, each) for name, each in spent if each.n_answers or each.lost_tokens]

    def of(self, digest: str, execution: ServerExecution, name: str = "") -> Spending:
        """Return the account of a served model under these prices and ceilings.

        Args:
            digest: of the engine's identity. name: the model's, for people.
        """
        facts = execution.model_dump_json(include={"prices", "budget", "budget_tokens"})
        if (digest, facts) not in self._by_key:
            found = Spending(execution.prices, execution.budget, execution.budget_tokens)
            self._by_key[digest, facts] = found
            self._names[digest, facts] = name
        return self._by_key[digest, facts]
