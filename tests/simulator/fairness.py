"""Who should go first: by priority, then who was preempted, then the tenant served least."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tapeout.runtime.frame import Frame
from tapeout.runtime.request import Arrive, Cancel, Event, Finished

from .cases import Case, ended_by
from .violation import check

_KINDS = ("result", "event", "clock")


class Fairness:
    """Its own account of what each tenant has been given."""

    def __init__(self) -> None:
        self.num_requests: Counter[str] = Counter()
        self.service: dict[str, int] = {}
        self._tenant_of: dict[str, str] = {}

    def follow(self, events: Sequence[Event], finished: Sequence[Finished]) -> None:
        """Who came and who left in a call, in order: by the result, by events, by the clock."""
        by = {kind: {f.request_id for f in finished if ended_by(f) == kind} for kind in _KINDS}
        self._leave(by["result"])
        for event in events:
            if isinstance(event, Arrive):
                self._enter(event.request.request_id, event.request.tenant)
            elif isinstance(event, Cancel) and event.request_id in by["event"]:
                by["event"].discard(event.request_id)
                self._leave([event.request_id])
        self._leave(by["clock"])

    def _enter(self, request_id: str, tenant: str) -> None:
        if not self.num_requests[tenant]:
            self.service[tenant] = min(self.service.values(), default=0)
        self.num_requests[tenant] += 1
        self._tenant_of[request_id] = tenant

    def _leave(self, request_ids: Iterable[str]) -> None:
        for request_id in request_ids:
            tenant = self._tenant_of.pop(request_id)
            self.num_requests[tenant] -= 1
            if not self.num_requests[tenant]:
                del self.service[tenant]

    def charge(self, frame: Frame, names: Iterable[str]) -> None:
        """`names[i]` is whose tokens sequence i of the frame is given; a lone tenant owes none."""
        if len(self.service) > 1:
            counts = (frame.query_start[1:] - frame.query_start[:-1]).tolist()
            for name, count in zip(names, counts, strict=True):
                self.service[self._tenant_of[name]] += count

    def check_admitted(self, admitted: Sequence[Case], waiting: Sequence[Case]) -> None:
        """Nobody of `waiting`, who could all have gone, was overtaken."""
        for case in admitted:
            for other in waiting:
                self._check_pair(case, other)

    def _check_pair(self, case: Case, other: Case) -> None:
        one, two, told = case.spec, other.spec, f"{case.request_id} before {other.request_id}"
        check(one.priority <= two.priority, told, "of better priority")
        if one.priority == two.priority and case.num_admissions == 1:
            check(other.num_admissions == 0, told, "that was preempted")
            services = self.service[one.tenant], self.service[two.tenant]
            check(services[0] <= services[1], told, "whose tenant was served less", services)
            if one.tenant == two.tenant:
                check(one.number < two.number, told, "that came first")
