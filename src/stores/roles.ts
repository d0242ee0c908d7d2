/** Most accounts that are named of those that have a role. */
export const mostTold = 10;
