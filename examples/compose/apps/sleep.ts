/** Waits for somebody to call from it: `docker-compose exec foo-sleep node /apps/get.ts URL`. */
setInterval(() => {}, 2 ** 31 - 1);
process.once('SIGTERM', () => process.exit());
