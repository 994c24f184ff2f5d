"""Log replication: a leader makes the followers' logs like its own, and commits what lies on a majority of disks.

Ongaro and Ousterhout 2014, sections 5.3 and 5.4.2; the leader writes its own disk while it sends (thesis 10.2.1), and
sends on before it has answers (10.2.2).
"""

from __future__ import annotations

from kvsim.core.message import Failure, Message, NodeId
from kvsim.core.node import answers
from kvsim.core.operation import OutcomeUnknown, Unavailable, Write
from kvsim.strategies.replication.raft.base import Proposed, RaftServer
from kvsim.strategies.replication.raft.messages import GROUP, Appended, AppendEntries, Committed, Elected, LogEntry
from kvsim.strategies.replication.raft.state import Progress


class LogReplication(RaftServer):
    """The leader's side and the follower's side of AppendEntries."""

    # ---- Follower

    @answers(AppendEntries)
    async def append_entries(self, sender: NodeId, m: AppendEntries) -> Appended:
        """Take the leader's entries, or say where the logs part."""
        state, log = self.state, self.log
        if m.term < state.current_term:
            return Appended(GROUP, state.current_term, False, m.prev_log_index)
        if m.term > state.current_term or state.role != "follower":
            assert not (m.term == state.current_term and state.role == "leader"), "a term has one leader (section 5.2)"
            self.become_follower(m.term, sender)
        state.leader = sender
        self.leader_heard_ns = self.quiet_since_ns = self.host.now()

        term_kept = log.save()  # before the entries, so that no disk holds entries of a term that it does not know
        if not log.matches(m.prev_log_index, m.prev_log_term):
            await term_kept
            return self._conflict(m)
        if m.entries:
            if self.host.disk.full():
                raise Unavailable(f"the disk of {self.me} is full")
            log.merge(m.prev_log_index, m.entries)
        last = m.prev_log_index + len(m.entries)
        self.commit(min(m.leader_commit, last))
        self.is_replayed = self.is_replayed or state.commit_index >= m.leader_commit > 0

        # Answer only when the disk holds what the answer says: the leader counts it towards a majority that survives
        # any crash of a minority. Were the answer sent before the sync, an entry could be committed and acknowledged to
        # a client, and a power cut could take it from so many disks that a leader without it is elected. The same holds
        # for the term. A heartbeat brings nothing to sync, so it is answered at once, for as much of the log as is
        # durable: a leader with a slow follower must still learn that it leads.
        await term_kept
        if m.entries and log.durable_index < last:
            await log.flushed
        if state.current_term != m.term:  # another term began meanwhile, and may have replaced these entries
            return Appended(GROUP, state.current_term, False, m.prev_log_index)
        return Appended(GROUP, m.term, True, m.prev_log_index, match_index=min(last, log.durable_index), round=m.round)

    def _conflict(self, m: AppendEntries) -> Appended:
        """Where the leader should try next: it skips a whole term at a time (section 5.3, end)."""
        state, log = self.state, self.log
        index, term = log.last_index + 1, 0
        if m.prev_log_index <= log.last_index:
            term = log.term(m.prev_log_index)
            index = log.first_of_term(term)
        return Appended(
            GROUP,
            state.current_term,
            False,
            m.prev_log_index,
            conflict_index=index,
            conflict_term=term,
            round=m.round,
        )

    # ---- Leader

    def become_leader(self) -> None:
        """Lead the current term; begin it with an entry that does nothing, as only that can commit what lies before."""
        state, now_ns = self.state, self.host.now()
        state.role, state.leader = "leader", self.me
        following = self.log.last_index + 1
        state.next_index = dict.fromkeys(self.peers, following)
        state.match_index = dict.fromkeys(self.peers, 0)
        self.followers = {peer: Progress(now_ns) for peer in self.peers}
        if self.host.wants(Elected):
            self.host.record(Elected(GROUP, state.current_term, tuple(state.votes)))
        self.first_of_my_term = following
        self._take(None)
        for peer in self.peers:
            self._probe(peer)
        self.heartbeat = self.host.after(self.settings.heartbeat_ns, self._on_heartbeat)

    def propose(self, operation: Write) -> Proposed:
        """Put an operation at the end of the log; done when it is applied here."""
        self._take(operation)
        proposed = Proposed(self.host.now() + self.site.design.timeout_ns)
        self.proposed[self.log.last_index] = proposed
        for peer in self.peers:
            self._replicate(peer)
        return proposed

    def _take(self, operation: Write | None) -> None:
        self.log.append(self.log.last_index, (LogEntry(self.state.current_term, operation),))

    def _replicate(self, peer: NodeId) -> None:
        """Send what the follower was not sent yet, as far as it may have messages unanswered."""
        progress = self.followers[peer]
        if progress.probing:
            return
        settings, next_index, last = self.settings, self.state.next_index, self.log.last_index
        while next_index[peer] <= last and len(progress.in_flight) < settings.max_batches_in_flight:
            first = next_index[peer]
            entries = self.log.batch(first, settings.max_batch_entries, settings.max_batch_bytes)
            self._send(peer, entries)
            next_index[peer] = first + len(entries)
            progress.in_flight.append(first + len(entries) - 1)

    def _probe(self, peer: NodeId) -> None:
        """Ask whether the logs agree before `next_index`, with entries along in case they do."""
        settings = self.settings
        first = self.state.next_index[peer]
        self._send(peer, self.log.batch(first, settings.max_batch_entries, settings.max_batch_bytes))

    def _send(self, peer: NodeId, entries: tuple[LogEntry, ...]) -> None:
        state = self.state
        prev = state.next_index[peer] - 1
        m = AppendEntries(
            GROUP, state.current_term, prev, self.log.term(prev), entries, state.commit_index, self.reads.round
        )
        self.ask(peer, m, self._on_appended)

    def _on_appended(self, peer: NodeId, answer: Message) -> None:
        state = self.state
        if type(answer) is Failure:
            if state.role == "leader":
                self._lose_track(peer)
            return
        assert isinstance(answer, Appended)
        if answer.term > state.current_term:
            self.become_follower(answer.term)
        if state.role != "leader" or answer.term != state.current_term:
            return
        progress = self.followers[peer]
        progress.heard_ns = self.host.now()
        if answer.round > progress.round:
            progress.round = answer.round
            self._confirm_round()
        if answer.success:
            self._on_success(peer, progress, answer.match_index)
        else:
            self._on_conflict(peer, progress, answer)

    def _on_success(self, peer: NodeId, progress: Progress, match: int) -> None:
        state = self.state
        progress.probing = False
        in_flight = progress.in_flight
        while in_flight and in_flight[0] <= match:
            in_flight.popleft()
        if match >= state.next_index[peer]:
            state.next_index[peer] = match + 1
        if match > state.match_index[peer]:
            state.match_index[peer] = match
            self.on_durable()
        if state.next_index[peer] <= self.log.last_index:
            self._replicate(peer)

    def _on_conflict(self, peer: NodeId, progress: Progress, answer: Appended) -> None:
        state, prev = self.state, answer.prev_log_index
        if progress.probing and prev != state.next_index[peer] - 1:
            return  # the answer to an older question than the one that is on its way
        following = answer.conflict_index
        if answer.conflict_term:
            # Where we have that term too, the logs may agree up to our last entry of it.
            ours = self.log.last_of_term(answer.conflict_term)
            if self.log.term(ours) == answer.conflict_term:
                following = ours + 1
        self._probe_from(peer, min(following, prev))
        self._probe(peer)

    def _lose_track(self, peer: NodeId) -> None:
        """The stream broke, or the follower refused: what was on its way may be lost. The next heartbeat asks anew."""
        self._probe_from(peer, self.state.next_index[peer])

    def _probe_from(self, peer: NodeId, following: int) -> None:
        progress = self.followers[peer]
        progress.probing = True
        progress.in_flight.clear()
        self.state.next_index[peer] = max(self.state.match_index[peer] + 1, following)

    def _on_heartbeat(self) -> None:
        """Say that we are there; step down unless a majority was heard of within an election timeout (thesis 6.2)."""
        # The longest that is drawn: by then another may lead. Sooner, a stream that sends a lost packet again would do.
        since_ns = self.host.now() - 2 * self.settings.election_timeout_ns
        heard = 1 + sum(progress.heard_ns >= since_ns for progress in self.followers.values())
        if heard < self.majority:
            self.become_follower(self.state.current_term, why=f"{heard} of {len(self.peers) + 1} servers heard of")
            return
        for peer in self.peers:
            self._send(peer, ())
        self._expire()
        self.heartbeat = self.host.after(self.settings.heartbeat_ns, self._on_heartbeat)

    def _expire(self) -> None:
        now_ns = self.host.now()
        self.reads.expire(now_ns)
        while self.proposed:
            index, oldest = next(iter(self.proposed.items()))
            if oldest.deadline_ns > now_ns:
                break
            del self.proposed[index]
            oldest.fail(OutcomeUnknown("it is in the leader's log, but was not committed in time"))

    # ---- Commit and apply

    def on_durable(self) -> None:
        """Commit what lies on a majority of disks, our own among them only as far as it is synced."""
        state = self.state
        if state.role != "leader":
            return
        held = sorted((self.log.durable_index, *state.match_index.values()))
        index = held[-self.majority]
        # Only entries of our own term are committed by counting; earlier ones are by the way. An entry of an earlier
        # term may lie on a majority and still be replaced by a leader that never saw it (section 5.4.2, figure 8).
        if index > state.commit_index and self.log.term(index) == state.current_term:
            self.commit(index)
            self.is_replayed = True
            if self.host.wants(Committed):
                self.host.record(Committed(GROUP, state.current_term, index))
            self.begin_round()

    def commit(self, index: int) -> None:
        """Everything up to here is committed: apply it in order, and tell who waits."""
        state = self.state
        state.commit_index = max(state.commit_index, index)
        while state.last_applied < state.commit_index:
            state.last_applied += 1
            operation = state.log[state.last_applied - 1].operation
            if operation is not None:
                outcome = self.machine.apply(state.last_applied, operation)
                proposed = self.proposed.pop(state.last_applied, None)
                if proposed is not None:
                    proposed.complete(outcome)

    # ---- Does this node still lead?

    def begin_round(self) -> None:
        """Ask the followers whether we lead, if reads wait for that and the term's first entry is committed."""
        # Until then the commit index may lag behind what the last leader had acknowledged (thesis 6.4, step 1).
        if not self.reads.may_begin or self.state.commit_index < self.first_of_my_term:
            return
        self.reads.begin()
        for peer in self.peers:
            self._send(peer, ())
        self._confirm_round()

    def _confirm_round(self) -> None:
        confirmed = 1 + sum(progress.round >= self.reads.round for progress in self.followers.values())
        if confirmed >= self.majority:
            self.reads.confirm()
            self.begin_round()
