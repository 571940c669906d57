"""Bugs of the scheduler: admission, preemption, steps in flight, ends, queues."""

import msgspec
import numpy as np

from tapeout.runtime import admission, flight, scheduler
from tapeout.runtime.admission import Admission
from tapeout.runtime.grants import Budget
from tapeout.runtime.scheduler import Scheduler
from tapeout.runtime.sequences import Sequences
from tapeout.runtime.slots import SlotTable
from tapeout.runtime.waiting import Tenants, WaitingQueue

from .mutants import bug


@bug("_plan", Scheduler, seen="C7 of the notes, vLLM #38715")
def pages_are_shared_before_their_step_has_reported(plan):
    """A page enters the index when the step that computes it is planned."""

    def wrong(self):
        frame, sequences = plan(self), self.sequences
        if frame is not None:
            flight = self._flights[-1]
            sequences.table.num_proven[flight.slots] = flight.ends
            for slot in flight.of_given.tolist():
                sequences._register(slot)
        return frame

    return wrong


@bug("num_shareable_pages", Sequences, seen="vLLM: a full hit must still compute the last token")
def a_full_hit_leaves_nothing_to_compute(original):
    """A prompt whose pages are all cached has no token left that gives logits."""
    return lambda self, entry: len(entry.token_ids) // self.cache.page_size_tokens


@bug("end", Sequences, seen="asynchronous scheduling hashed tokens that were not known yet")
def pages_in_flight_are_registered_at_the_end(end):
    """A sequence that ends registers what steps in flight will write."""

    def wrong(self, slot, last_step_id, is_finite=True):
        if is_finite:
            self.table.num_proven[slot] = self.table.num_computed[slot]
        return end(self, slot, last_step_id, is_finite)

    return wrong


@bug("end", Sequences, seen="P12 of the notes: what is not a number entered the cache")
def a_numeric_error_registers_what_it_computed(end):
    """The pages of the very step that was not finite enter the index."""

    def wrong(self, slot, last_step_id, is_finite=True):
        self.table.num_proven[slot] = self.table.num_computed[slot]
        return end(self, slot, last_step_id, True)

    return wrong


@bug("end", Sequences, seen="GHSA-v97p (C15 of the notes): slots reused under pipelining")
def a_slot_is_reused_while_a_step_in_flight_names_it(end):
    """Who comes next can take the slot at once."""

    def wrong(self, slot, last_step_id, is_finite=True):
        entry = end(self, slot, last_step_id, is_finite)
        if last_step_id is not None:
            self.table.free(self._leaving.pop()[1])
        return entry

    return wrong


@bug("_stop_computing", Sequences, seen="requests that waited for a transfer that had been aborted")
def nobody_hears_that_a_page_will_not_come(original):
    """Who waits for a page that another computes waits for ever if that one ends."""
    return lambda self, slot, entry: None


@bug("_preempt", Scheduler, seen="vLLM: recompute forgot tokens generated before preemption")
def a_preempted_request_loses_its_output(preempt):
    """It is computed again from its prompt alone, but keeps what it told."""

    def wrong(self, slot):
        entry = self.sequences.table.entry(slot)
        preempt(self, slot)
        entry.token_ids = entry.request.prompt_token_ids

    return lambda self, slot: wrong(self, slot) or slot


@bug("_preempt", Scheduler, seen="C5 of the notes: preemption with a grammar")
def a_preempted_request_loses_its_mask(preempt):
    """A mask that was given must be given again, and nobody does."""

    def wrong(self, slot):
        self.sequences.table.entry(slot).mask_at = -1
        return preempt(self, slot)

    return wrong


@bug("_preempt", Scheduler, seen="C5 of the notes: preemption with logprobs")
def a_preempted_request_scores_its_prompt_again(preempt):
    """Logprobs of the prompt that were told are told twice."""

    def wrong(self, slot):
        entry = self.sequences.table.entry(slot)
        preempt(self, slot)
        entry.num_scored = 0
        return slot

    return wrong


@bug("_arrival", admission, seen="C5 of the notes: preemption with penalties")
def a_preempted_output_counts_as_prompt(arrival):
    """After preemption penalties take the output for a part of the prompt."""

    def wrong(slot, entry, row_length):
        right = arrival(slot, entry, row_length)
        return msgspec.structs.replace(right, num_prompt_tokens=len(entry.token_ids))

    return wrong


@bug("pack_rows", flight, seen="C5 of the notes: preemption with a seed")
def a_preempted_request_restarts_its_random_stream(pack_rows):
    """Positions of samples are counted from where the sequence was taken up."""

    def wrong(table, slots, tokens):
        rows = pack_rows(table, slots, tokens)
        return rows._replace(positions=rows.positions - table.num_cached[rows.slots])

    return wrong


@bug("launch", scheduler, seen="vLLM: placeholders of asynchronous scheduling counted twice")
def a_pending_token_is_counted_twice(launch):
    """With a token in flight already, the next is counted as two."""

    def wrong(table, *told):
        launched = launch(table, *told)
        rows = launched[0].rows
        slots = rows.slots[rows.chooses]
        table.num_tokens[slots] += table.num_tokens[slots] > table.num_known[slots] + 1
        return launched

    return wrong


@bug("append", SlotTable, seen="asynchronous scheduling: a stop seen a step late was passed over")
def a_stop_token_with_another_in_flight_is_ignored(append):
    """A stop ends a sequence only if no later token is under way."""

    def wrong(self, slots, token_ids, now):
        ends = append(self, slots, token_ids, now)
        at_limit = self.num_known[slots] >= self.max_num_tokens[slots]
        return ends & (at_limit | (self.num_tokens[slots] == self.num_known[slots]))

    return wrong


@bug("occupy", SlotTable, seen="min_tokens and stop tokens: off by one")
def a_stop_token_counts_one_token_early(occupy):
    """`min_tokens` is taken for one less."""

    def wrong(self, entry, tenant, num_cached):
        slot = occupy(self, entry, tenant, num_cached)
        self.min_num_tokens[slot] -= 1
        return slot

    return wrong


@bug("occupy", SlotTable, seen="max_tokens counted with the token in flight")
def a_sequence_ends_one_token_early(occupy):
    """`max_tokens` above one is taken for one less."""

    def wrong(self, entry, tenant, num_cached):
        slot = occupy(self, entry, tenant, num_cached)
        self.max_num_tokens[slot] -= entry.request.max_tokens > 1
        return slot

    return wrong


@bug("_cancel", Scheduler, seen="vLLM: an abort raced with admission from the waiting queue")
def a_cancelled_request_still_waits(cancel):
    """It is told to have ended and is admitted all the same."""

    def wrong(self, request_id, *told):
        entry = self.waiting.get(request_id)
        cancel(self, request_id, *told)
        if entry is not None:
            self.tenants.enter(entry.request.tenant)
            self.waiting.push(entry)

    return wrong


@bug("_start", Admission, seen="chunked prefill and decode counted against separate budgets")
def a_new_request_gets_one_token_too_many(start):
    """The budget of a step is exceeded by admissions."""

    def wrong(self, entry, num_hits, budget):
        budget.num_tokens += 1
        return start(self, entry, num_hits, budget)

    return wrong


@bug("_limit_rows", Budget, seen="logits of more rows than the buffer has")
def rows_of_prompt_logprobs_are_not_limited(limit_rows):
    """A prompt that wants logprobs gets a row for every token of its chunk."""
    return lambda self, table, slot, granted: granted


@bug("peek", WaitingQueue, seen="a heap of priorities with the sign turned")
def the_worst_priority_goes_first(peek):
    """The queue serves its last level."""

    def wrong(self):
        levels = self._levels
        self._levels = {-priority: level for priority, level in levels.items()}
        entry = peek(self)
        self._levels = levels
        return entry

    return wrong


@bug("_victim", Scheduler, seen="C4 of the notes: preemption storms without progress")
def the_best_sequence_is_preempted(victim):
    """The oldest of the best priority gives its pages to the others."""
    return lambda self: int(self.sequences.running[0])


@bug("push", WaitingQueue, seen="vLLM: preempted requests went to the back of the queue")
def a_preempted_request_waits_behind_new_ones(push):
    """It has no precedence over those that never ran."""

    def wrong(self, entry, first=False):
        entry.was_preempted = False
        push(self, entry, first)

    return wrong


@bug("charge", Tenants, seen="C16 of the notes: one key floods, another starves")
def a_tenant_is_never_charged(charge):
    """All tenants seem to be served equally."""
    return lambda self, tenants, num_tokens: None


@bug("_deadline_of", Scheduler, seen="time limits that were checked in the waiting queue alone")
def a_running_request_has_no_deadline(deadline_of):
    """Who has a slot may stay past its time."""

    def wrong(self, request_id):
        return deadline_of(self, request_id) if request_id in self.waiting else None

    return wrong


@bug("refusal", Scheduler, seen="P6 of the notes: queues without bounds")
def the_queue_has_no_bound(refusal):
    """Nobody is refused."""
    return lambda self, num_requests, num_tokens: None


@bug("_set_mask", Scheduler, seen="grammar masks a step behind under asynchronous scheduling")
def a_mask_for_another_length_is_taken(set_mask):
    """Whatever mask comes is taken for the next token's."""

    def wrong(self, event):
        entry = self._entry(event.request_id)
        if entry is not None:
            slot = self.sequences.slot_of.get(event.request_id)
            known = len(entry.token_ids)
            if slot is not None:
                known = int(self.sequences.table.num_known[slot])
            count = known - len(entry.request.prompt_token_ids)
            set_mask(self, msgspec.structs.replace(event, num_tokens=count))

    return wrong


@bug("_num_hit_pages", Admission, seen="prompt logprobs of cached tokens were missing")
def who_reads_no_cache_is_given_it(num_hit_pages):
    """A request that must compute its whole prompt begins with cached pages."""

    def wrong(self, entry):
        request = msgspec.structs.replace(entry.request, reads_cache=True)
        told, entry.request = entry.request, request
        num_hits = num_hit_pages(self, entry)
        entry.request = told
        return num_hits

    return wrong


@bug("_land", Scheduler, seen="rows of aborted requests shifted those behind them")
def rows_of_ended_sequences_shift_the_others(land):
    """The tokens of a step are taken in order, those of the dead not left out."""

    def wrong(self, result, now, finished):
        alive = self.sequences.table.is_alive[self._flights[0].rows.slots]
        order = np.argsort(~alive, kind="stable")
        moved = np.empty_like(result.token_ids)
        moved[order] = result.token_ids
        return land(self, msgspec.structs.replace(result, token_ids=moved), now, finished)

    return wrong


@bug("prove", Sequences, seen="windows trimmed by what is planned and not by what is done")
def a_window_moves_with_the_plan(prove):
    """Pages that a step in flight still sees are dropped."""

    def wrong(self, flight):
        prove(self, flight)
        slots = flight.slots[self.table.is_alive[flight.slots]]
        self.cache.trim(slots, self.table.num_computed[slots], None)

    return wrong


@bug("_lose_steps", Scheduler, seen="C12 of the notes: results of another epoch")
def a_lost_step_is_still_waited_for(lose_steps):
    """A step that was lost stays in flight in the books."""

    def wrong(self):
        flights = list(self._flights)
        lose_steps(self)
        self._flights.extend(flights[:1])

    return wrong


@bug("_land", Scheduler, seen="P12 of the notes: chunks of a prompt have no sample to look at")
def a_chunk_that_is_not_finite_goes_on(land):
    """Rows whose token is known already are not looked at."""

    def wrong(self, result, now, finished):
        is_known = ~self._flights[0].rows.chooses
        token_ids = np.where(is_known, 0, result.token_ids).astype(np.int32)
        return land(self, msgspec.structs.replace(result, token_ids=token_ids), now, finished)

    return wrong


@bug("_preempt", Scheduler, seen="metrics: time to first token restarted with the sequence")
def a_preempted_request_speaks_first_again(preempt):
    """The time of the first token is lost with the slot."""

    def wrong(self, slot):
        entry = self.sequences.table.entry(slot)
        preempt(self, slot)
        entry.first_token_s = float("nan")
        return slot

    return wrong


@bug("_start", Admission, seen="vLLM: num_cached_tokens changed when a request was preempted")
def a_preempted_request_counts_its_own_pages_as_cached(start):
    """What it finds of itself in the cache is told as a hit of its prompt."""

    def wrong(self, entry, num_hits, budget):
        started = start(self, entry, num_hits, budget)
        entry.num_cached = num_hits * self._cache.page_size_tokens
        return started

    return wrong


@bug("_start", Admission, seen="chunked prefill that never used what the step had left")
def a_new_request_gets_one_token_alone(start):
    """An admission takes one token of the budget and leaves the rest."""

    def wrong(self, entry, num_hits, budget):
        rest, budget.num_tokens = budget.num_tokens - 1, 1
        started = start(self, entry, num_hits, budget)
        budget.num_tokens += rest
        return started

    return wrong


@bug("share", Budget, seen="C17 of the notes: long prompts before those that decode")
def prompts_are_served_before_those_that_decode(share):
    """What prompts leave of the budget goes to sequences that need one token."""

    def wrong(self, table, running):
        is_prompt = table.remaining(running) > 1
        parts = share(self, table, running[is_prompt]), share(self, table, running[~is_prompt])
        slots, granted = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return slots, granted

    return wrong


@bug("_finish", Scheduler, seen="stop strings: tokens after the match were returned")
def what_a_stop_string_cuts_off_is_kept(finish):
    """A cancel that names how much to keep keeps all."""

    def wrong(self, slot, reason, now, stop_token_id=None, num_tokens=None):
        return finish(self, slot, reason, now, stop_token_id)

    return wrong


@bug("leave", Tenants, seen="P15 of the notes: state of every key that ever called")
def a_tenant_is_never_forgotten(leave):
    """Who has no request any more is still in the table."""

    def wrong(self, tenant):
        self._num_requests[tenant] -= 1

    return wrong


@bug("launch", scheduler, seen="C5 of the notes: logprobs of some rows of a batch were missing")
def logprobs_are_computed_for_the_first_sequence_alone(launch):
    """A step has logprobs if its first sequence wants them."""

    def wrong(table, *told):
        flight, frame = launch(table, *told)
        wants = bool(table.wants_logprobs[flight.slots[0]])
        return flight, msgspec.structs.replace(frame, wants_logprobs=wants)

    return wrong
