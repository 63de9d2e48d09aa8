/** Ends a call that takes too long, whatever its caller does: half a message would else be waited for without end. */
import {
  ResponderBuilder,
  type ServerInterceptor,
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';

/** For unary calls: from the first byte of a call to its answer. */
export function createCallDeadline(timeoutMs: number): ServerInterceptor {
  return (_method, call) => {
    let timer: NodeJS.Timeout | null = setTimeout(() => {
      timer = null;
      call.sendStatus({ code: status.DEADLINE_EXCEEDED, details: 'the call took too long' });
    }, timeoutMs);
    const clear = (): void => {
      if (timer !== null) clearTimeout(timer);
      timer = null;
    };
    const listener = new ServerListenerBuilder().withOnCancel(clear).build();
    const responder = new ResponderBuilder()
      .withStart((next) => next(listener))
      .withSendStatus((answer, next) => {
        clear();
        next(answer);
      })
      .build();
    return new ServerInterceptingCall(call, responder);
  };
}
