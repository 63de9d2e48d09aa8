/** The same with a keep-alive agent towards the app, which few set. */
import { Agent } from 'node:http';
import { startHttpProxy } from './http-proxy-front.ts';

startHttpProxy(new Agent({ keepAlive: true, maxFreeSockets: 256 }));
