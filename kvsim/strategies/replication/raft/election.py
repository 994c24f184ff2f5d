"""Leader election: who hears nothing from a leader asks the others for their votes.

Ongaro and Ousterhout 2014, section 5.2 and, for which candidate may win, 5.4.1; pre-votes: Ongaro's thesis, 9.6.
"""

from __future__ import annotations

from kvsim.core.host import Recovered
from kvsim.core.message import Message, NodeId
from kvsim.core.node import answers
from kvsim.strategies.replication.raft.messages import GROUP, RequestVote, Vote
from kvsim.strategies.replication.raft.replication import LogReplication


class Elections(LogReplication):
    """Candidates and voters."""

    def start(self, recovered: Recovered) -> None:
        super().start(recovered)
        self._draw_patience()
        self.host.after(self.patience_ns, self._on_election_timer)

    def _draw_patience(self) -> None:
        # Drawn anew for each election, so that two candidates that met do not meet for ever (section 5.2).
        shortest_ns = self.settings.election_timeout_ns
        spread_ns = self.settings.election_spread_ns
        longest_ns = shortest_ns + (shortest_ns if spread_ns is None else spread_ns)
        self.patience_ns = self.host.chance.between(shortest_ns, longest_ns)

    def _on_election_timer(self) -> None:
        # A message from the leader only notes the time: setting a timer anew for each would cost more than the message.
        left_ns = self.quiet_since_ns + self.patience_ns - self.host.now()
        is_voting = self.settings.timers == "patient" and not self.log.kept.done
        if self.state.role == "leader" or is_voting:
            left_ns = self.patience_ns  # not the time to stand: we lead, or our disk is still busy with a vote
        elif left_ns <= 0:
            self._draw_patience()
            left_ns = self.patience_ns
            self.quiet_since_ns = self.host.now()
            if self.settings.pre_vote:
                self._ask_first()
            else:
                _ = self.host.spawn(self._stand())
        self.host.after(left_ns, self._on_election_timer)

    # ---- Candidate

    def _ask_first(self) -> None:
        """Would the others vote for us? Nobody's term changes by the question."""
        state = self.state
        state.role, state.leader, state.votes = "pre_candidate", "", [self.me]
        self._request_votes(state.current_term + 1, pre=True)
        self._count_votes()

    async def _stand(self) -> None:
        """Enter the next term, vote for ourselves, and ask the others."""
        state = self.state
        state.current_term += 1
        state.role, state.leader, state.votes, state.voted_for = "candidate", "", [], self.me
        term, began_ns = state.current_term, self.host.now()
        # Our own vote counts like any other: only when it would outlive a crash. Else we could win, forget it, and win
        # the same term a second time with another log.
        await self.log.save()
        if self.state.role != "candidate" or state.current_term != term:
            return
        # The voters' disks will take about as long as ours did; do not give up before.
        if self.settings.timers == "patient":
            now_ns = self.host.now()
            self.quiet_since_ns = now_ns + (now_ns - began_ns)
        state.votes.append(self.me)
        self._request_votes(term, pre=False)
        self._count_votes()

    def _request_votes(self, term: int, pre: bool) -> None:
        question = RequestVote(GROUP, term, self.log.last_index, self.log.last_term, pre)
        for peer in self.peers:
            self.ask(peer, question, self._on_vote)

    def _on_vote(self, voter: NodeId, answer: Message) -> None:
        if not isinstance(answer, Vote):
            return  # the stream broke; whoever is left decides
        state = self.state
        is_promise = answer.pre and answer.granted  # of a term that nobody has entered
        if answer.term > state.current_term and not is_promise:
            self.become_follower(answer.term)
            return
        if answer.pre:
            is_wanted = state.role == "pre_candidate" and answer.term == state.current_term + 1
        else:
            is_wanted = state.role == "candidate" and answer.term == state.current_term
        if is_wanted and answer.granted and voter not in state.votes:
            state.votes.append(voter)
            self._count_votes()

    def _count_votes(self) -> None:
        if len(self.state.votes) < self.majority:
            return
        if self.state.role == "pre_candidate":
            _ = self.host.spawn(self._stand())
        else:
            self.become_leader()

    # ---- Voter

    @answers(RequestVote)
    async def request_vote(self, candidate: NodeId, m: RequestVote) -> Vote:
        """Vote for the first candidate of a term whose log holds all that may be committed."""
        state = self.state
        if m.pre:
            granted = m.term > state.current_term and self._is_up_to_date(m) and not self._hears_leader()
            return Vote(GROUP, m.term if granted else state.current_term, granted, pre=True)
        if self._hears_leader():
            return Vote(GROUP, state.current_term, False)  # whoever asks was cut off; the others do well without it
        if m.term > state.current_term:
            self.become_follower(m.term)
        is_free = state.voted_for in (None, candidate)
        granted = m.term == state.current_term and is_free and self._is_up_to_date(m)
        if granted:
            state.voted_for = candidate
            self.quiet_since_ns = self.host.now()
            if self.settings.timers == "figure_2":
                self._draw_patience()

        # A vote is a promise to vote for nobody else in this term, after a crash as well: it must be on the disk first.
        # A voter that forgot could vote twice, and the term could get two leaders.
        await self.log.save()
        if not granted or state.current_term != m.term:
            return Vote(GROUP, state.current_term, False)
        if self.settings.timers == "patient":
            self.quiet_since_ns = self.host.now()  # a slow disk has used up the candidate's time as well
        return Vote(GROUP, m.term, True)

    def _is_up_to_date(self, m: RequestVote) -> bool:
        """Whether the candidate's log ends as late as ours: by term, then by length (section 5.4.1)."""
        return (m.last_log_term, m.last_log_index) >= (self.log.last_term, self.log.last_index)

    def _hears_leader(self) -> bool:
        """Whether a leader was heard of so lately that a candidate must be mistaken (thesis 4.2.3)."""
        if not self.settings.pre_vote:
            return False
        if self.state.role == "leader":
            return True
        heard_ns = self.leader_heard_ns
        return heard_ns is not None and self.host.now() - heard_ns < self.settings.election_timeout_ns
