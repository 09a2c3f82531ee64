/** The database's limits (annotation/models). Forms enforce them too, so that users cannot enter too much text. */
export const MAX_GUIDELINES_CHARACTERS = 100_000;
