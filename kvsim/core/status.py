"""Status: what each node says of itself, and where a key lies; what `kvsim where` and `GET /v1/cluster` show."""

from __future__ import annotations

from kvsim.core.axes import Site
from kvsim.core.message import MILLISECOND, Message, Nanoseconds
from kvsim.core.node import Component, answers
from kvsim.core.operation import Key
from kvsim.core.waiting import Future

PATIENCE_NS: Nanoseconds = 500 * MILLISECOND
"""A node that has not answered by then is shown as silent."""


class AskCluster(Message, tag="status.ask_cluster"):
    """Door to its node: how is everybody, and who holds this key?"""

    key: Key | None = None


class AskNode(Message, tag="status.ask_node"):
    """Node to node: how are you?"""


class NodeStatus(Message, tag="status.node"):
    """One node, in its own words."""

    node: str
    role: str
    facts: dict[str, str]
    """What its components tell: `role`, `term`, `view`, `keys` …"""


class ClusterStatus(Message, tag="status.cluster"):
    """Everybody who answered, those who did not, and the nodes that hold the key asked for."""

    nodes: tuple[NodeStatus, ...]
    silent: tuple[str, ...]
    replicas: tuple[str, ...] = ()


class StatusReporter(Component):
    """Answers for its own node; at a door it asks all others too."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @answers(AskNode)
    def ask_node(self, sender: str, m: AskNode) -> NodeStatus:
        facts: dict[str, str] = {}
        for component in self.node.components:
            if role := getattr(component, "role_name", None):
                facts["role"] = role
            facts |= component.status()
        if self.view.down:
            facts["suspects"] = ", ".join(self.view.down)
        if self.site.replica is not None:
            facts["keys"] = str(self.site.replica.live_keys())
        return NodeStatus(self.host.id, self.site.role, facts)

    @answers(AskCluster)
    async def ask_cluster(self, sender: str, m: AskCluster) -> ClusterStatus:
        everyone = self.site.cluster.everyone()
        answers: dict[str, Message] = {}
        complete: Future[None] = Future()

        def hear(node: str, answer: Message) -> None:
            answers[node] = answer  # a refusal too: one dead node must not make all others look silent
            if len(answers) == len(everyone):
                complete.complete(None)

        for node in everyone:
            self.ask(node, AskNode(), hear)
        deadline = self.host.after(PATIENCE_NS, lambda: complete.complete(None))
        await complete
        deadline.cancel()
        heard = {node: answer for node, answer in answers.items() if isinstance(answer, NodeStatus)}
        return ClusterStatus(
            nodes=tuple(heard[node] for node in everyone if node in heard),
            silent=tuple(node for node in everyone if node not in heard),
            replicas=self.site.placement.replicas(m.key) if m.key is not None else (),
        )
