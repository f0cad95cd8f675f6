/** Nodes that an orchestrator of the tests puts into one graph: Prefect's own 10,000 would take minutes to make. */
export const GRAPH_NODES = 40;
