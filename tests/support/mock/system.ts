import { type Route, route } from './http.js';
import { type State } from './state.js';

export function systemRoutes(state: State): Route[] {
  return [
    route('get', '/health', () => true),
    route('get', '/ready', () => ({ message: 'OK' })),
    route('get', '/admin/version', () => state.version),
  ];
}
