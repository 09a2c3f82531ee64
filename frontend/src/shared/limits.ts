/** The limits of the database (annotation/models), so that forms can state them before a request is refused. */
export const MAX_GUIDELINES_CHARACTERS = 100_000;
