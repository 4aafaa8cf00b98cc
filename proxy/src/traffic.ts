/** What the log and the metrics say about a request besides its status: bytes of bodies as received and as sent. */
export interface Traffic {
  bytesIn: number;
  bytesOut: number;
}
