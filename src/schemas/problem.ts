/** What is wrong with a value, in pydantic's words. */
export interface Problem {
  type: string;
  msg: string;
}
