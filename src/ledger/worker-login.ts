import pg from 'pg';

/**
 * Makes sure that the login of `workerUrl` exists, has its password and is a member of the workers' role, which the
 * migrations made. May be repeated, and by several at once.
 *
 * @param ownerUrl - A login that may create roles.
 */
export async function ensureWorkerLogin(ownerUrl: string, workerUrl: string): Promise<void> {
  const { username, password } = new URL(workerUrl);
  if (username === '' || password === '') throw new TypeError("The workers' URL has no user or no password");
  const login = [decodeURIComponent(username), decodeURIComponent(password)];
  const client = new pg.Client({ connectionString: ownerUrl, application_name: 'longshore-migrate' });
  await client.connect();
  try {
    // Utility statements take no parameters, so the server itself quotes what goes into them.
    const { rows } = await client.query<{ make: string; change: string; join: string }>(
      `select format('create role %I login', $1::text) as make,
        format('alter role %I login password %L', $1::text, $2::text) as change,
        format('grant longshore_worker to %I', $1::text) as join`,
      login,
    );
    const [statements] = rows;
    if (statements === undefined) throw new Error('PostgreSQL answered no row');
    await client.query(statements.make).catch((error: { code?: string }) => {
      // 42710 duplicate_object; 23505 unique_violation, when another makes it at the same moment.
      if (error.code !== '42710' && error.code !== '23505') throw error;
    });
    await client.query(statements.change);
    await client.query(statements.join);
  } finally {
    await client.end();
  }
}
