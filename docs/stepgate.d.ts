// What stepgate answers to scripts of a page. All times are in seconds.

/** What a request needs. */
export interface Need {
  level: string;
  /** How recently it has to be confirmed. */
  max_age?: number;
}

/** Of a 401, 403 or 503 (RFC 9457, `application/problem+json`). */
export interface Problem {
  type?: string;
  status: number;
  title: string;
  code: 'login' | 'step-up' | 'forbidden' | 'unavailable' | (string & {});
  request_id: string;
  need?: Need;
  /** The level that is there. */
  have?: string;
  /** Where a person gets what is missing, from whatever origin. */
  step_up?: string;
  /** The same for a window of its own on this origin, which says when it is done and closes itself. */
  popup?: string;
}

/** Of `/.stepgate/status?for=METHOD%20/path`. */
export interface Status {
  signed_in: boolean;
  /** Tells users apart without naming them. */
  user?: string;
  /** Of the request that is asked about. */
  decision?: 'allow' | 'login' | 'step-up' | 'deny' | 'unavailable' | 'own';
  /** `missing`, `lapsed`, `too-old`, `age-unknown`, or the condition that is not met. */
  reason?: string;
  need?: Need;
  have?: string;
  step_up?: string;
  popup?: string;
  /** How long the request is allowed if nothing is done; without `for`, how long the session lives. */
  left?: number;
  /** What ends first. */
  ends?: 'level' | 'idle' | 'session';
  /** From the app's policy. */
  renew_before?: number;
}
