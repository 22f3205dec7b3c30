"""What a user should know about an import: what came through, what did not and why."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class LeftOut:
    """What was left out for one reason, and the first of it in words."""

    count: int
    first: str


@dataclass
class Findings:
    """What reading a file found, as counts."""

    spans: int = 0
    instants: int = 0
    counter_values: int = 0
    links: int = 0
    """From spans to others, that flows mean."""
    unfinished: int = 0
    """Spans without an end."""
    ended_early: int = 0
    """Spans that ended with the one around them, for want of an end of their own."""
    overlapping: int = 0
    """Spans that overlap another of their thread in part."""
    unmatched_ends: int = 0
    altered_texts: int = 0
    """Different names and the like in which something is no text, or too long."""
    unusable: dict[str, LeftOut] = field(default_factory=dict)
    """Events left out because of what stands in them, by the reason."""
    out_of_flows: dict[str, LeftOut] = field(default_factory=dict)
    """Events that are the begin or the end of no arrow, by the reason; their spans are there."""
    other_kinds: Counter[str] = field(default_factory=Counter)
    """Events left out because there is no place for them, by what they are."""
    damages: int = 0
    """Places in the file where events are lost because the text there is not JSON."""
    first_damage: str = ""
    is_cut: bool = False
    broken_gzip: str | None = None
    unusable_base_time: str | None = None
    """What the file says of its time zero, if that is none."""
    moved_ns: int = 0
    """How much later all times are than the file says, for want of times before 1970."""

    def leave_out(self, reason: str, event: str) -> None:
        """Count an event, which is given in words."""
        self.unusable.setdefault(reason, LeftOut(0, event)).count += 1

    def leave_out_of_flows(self, reason: str, event: str) -> None:
        """The same for an event of which only its part in a flow is left out."""
        self.out_of_flows.setdefault(reason, LeftOut(0, event)).count += 1

    def describe(self) -> list[str]:
        """All of it, in lines."""
        further = [
            _count(number, noun)
            for number, noun in (
                (self.instants, "instant"),
                (self.counter_values, "counter value"),
                (self.links, "link"),
            )
            if number
        ]
        lines = [f"Imported {', '.join([_count(self.spans, 'span'), *further])}."]
        if self.unfinished:
            lines.append(f"{_count(self.unfinished, 'span')} without an end will show as unfinished.")
        if self.ended_early:
            lines.append(f"{_count(self.ended_early, 'span')} without an end of their own: ended with the span around.")
        if self.overlapping:
            lines.append(
                f"{_count(self.overlapping, 'span')} overlapping others of the same thread in part: "
                "shown as further threads named '(overlap N)'."
            )
        if self.unmatched_ends:
            lines.append(f"{_count(self.unmatched_ends, 'end')} without a begin left out.")
        lines += (
            f"{_count(left.count, 'event')} left out: {reason} (first: {left.first})."
            for reason, left in self.unusable.items()
        )
        lines += (
            f"{_count(left.count, 'end')} of flows left out: {reason} (first: {left.first})."
            for reason, left in self.out_of_flows.items()
        )
        if self.damages:
            lines.append(
                f"{_count(self.damages, 'place')} in the file not JSON, what is there left out "
                f"(first: {self.first_damage})."
            )
        if self.broken_gzip:
            lines.append(f"The gzip data is damaged, what follows left out: {self.broken_gzip}.")
        elif self.is_cut:
            lines.append("The file ends in the middle: it seems to be cut.")
        if self.altered_texts:
            lines.append(f"{_count(self.altered_texts, 'name')} changed: not text throughout, or too long.")
        if self.unusable_base_time:
            lines.append(f"The file's base time is no number of nanoseconds since 1970: {self.unusable_base_time}.")
        if self.moved_ns:
            lines.append(
                f"Time begins {self.moved_ns / 1e9:.9g} s before the file's own 0, where its first event is: "
                "all times are later by as much."
            )
        lines += (
            f"{_count(number, f'{kind} event')} left out: only spans, instants, counters and flows are imported."
            for kind, number in sorted(self.other_kinds.items())
        )
        return lines


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
