"""A Raft follower that acknowledges entries before its disk has them: a committed entry can vanish with a power cut."""

from kvsim.core.message import NodeId
from kvsim.core.node import answers
from kvsim.strategies.replication.raft.messages import GROUP, Appended, AppendEntries
from kvsim.strategies.replication.raft.raft import Raft


class AcknowledgesEarly(Raft):
    """Raft whose followers answer before their sync."""

    @answers(AppendEntries)
    async def append_entries(self, sender: NodeId, m: AppendEntries) -> Appended:
        state, log = self.state, self.log
        if m.term < state.current_term:
            return Appended(GROUP, state.current_term, False, m.prev_log_index)
        if m.term > state.current_term or state.role != "follower":
            self.become_follower(m.term, sender)
        state.leader = sender
        self.leader_heard_ns = self.quiet_since_ns = self.host.now()
        log.save()
        if not log.matches(m.prev_log_index, m.prev_log_term):
            return self._conflict(m)
        if m.entries:
            log.merge(m.prev_log_index, m.entries)
        last = m.prev_log_index + len(m.entries)
        self.commit(min(m.leader_commit, last))
        self.is_replayed = self.is_replayed or state.commit_index >= m.leader_commit > 0
        return Appended(GROUP, m.term, True, m.prev_log_index, match_index=last, round=m.round)
