import { type Route, invalid, route } from './http.js';
import { stateView } from './run-states.js';
import { type State } from './state.js';
import { type Problem, uuid } from './validate.js';

/** `/flow_run_states/`: what a run has been through. */
export function runHistoryRoutes(state: State): Route[] {
  return [
    route('get', '/flow_run_states/', ({ query }) => {
      const problems: Problem[] = [];
      const id = uuid.parse(query.get('flow_run_id'), ['query', 'flow_run_id'], problems);
      if (problems.length > 0) throw invalid(problems, null);
      return (state.flowRuns.get(id)?.history ?? []).map(stateView);
    }),
  ];
}
