import { type Route, created, noContent, notFound, route } from './http.js';
import { type Obj } from './json.js';
import { limit, limitOf, offset } from './paging.js';
import { type Row, type State, row } from './state.js';
import { formatTime, nowMillis } from './time.js';
import { bool, defaulted, list, model, optional, params, text, uuid } from './validate.js';

const fields = {
  is_active: defaulted(bool, () => true),
  state_names: list(text),
  tags: list(text),
  block_document_id: uuid,
  message_template: optional(text),
};
const create = model(fields);
const update = model({ is_active: optional(bool) });
const filter = params({ limit, offset });

type Policy = Row & ReturnType<typeof create.parse>;

/** The servers before 3.4 have them; on the others the path is unknown. */
export function notificationPolicyRoutes(state: State): Route[] {
  if (!/^3\.[0-3]\./.test(state.version)) return [];
  const all = new Map<string, Policy>();
  const read = (id = ''): Policy => {
    const found = all.get(id);
    if (found === undefined) throw notFound('flow run notification policy not found');
    return found;
  };
  const base = '/flow_run_notification_policies';
  return [
    route('post', `${base}/`, async (call) => {
      const policy = { ...row(), ...(await call.read(create)) };
      all.set(policy.id, policy);
      return created(view(policy));
    }),
    route('post', `${base}/filter`, async (call) => {
      const wanted = await call.read(filter);
      const most = limitOf(state, wanted.limit);
      return [...all.values()].slice(wanted.offset, wanted.offset + most).map(view);
    }),
    route('patch', `${base}/:id`, async (call) => {
      const { is_active } = await call.read(update);
      const policy = read(call.params['id']);
      Object.assign(policy, { is_active: is_active ?? policy.is_active, updated: nowMillis() });
      return noContent();
    }),
    route('delete', `${base}/:id`, ({ params: { id } }) => {
      all.delete(read(id).id);
      return noContent();
    }),
  ];
}

function view({ created: made, updated, ...policy }: Policy): Obj {
  return { ...policy, created: formatTime(made), updated: formatTime(updated) };
}
