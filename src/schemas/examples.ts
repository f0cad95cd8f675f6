/** An id for the examples of the API documentation. */
export const EXAMPLE_ID = '6a1c9c1e-0f5b-4a3e-9d53-0e9c6f6b2f11';
