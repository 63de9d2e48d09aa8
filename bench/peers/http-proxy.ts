/** The data path that most Node users build: http-proxy behind node:https, set up as its README shows. */
import { startHttpProxy } from './http-proxy-front.ts';

startHttpProxy(null);
