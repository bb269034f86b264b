/* An adapter: it lets `torvyn-conformance` drive a runtime over standard input and output.
 *
 * `struct stream` is a small stream of numbers that stands where your runtime will stand: replace its body, message by message, and claim
 * further facets in DECLARATION as you add them. What you leave out, name in `unsupported` with the reason. The facet `streams` has flat
 * messages, so a look-up of fields is enough here; take a JSON library as soon as you add a facet whose messages nest. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECLARATION                                                                                                                        \
  "{\"re\":\"declaration\",\"name\":\"my-runtime\",\"version\":\"0.1.0\",\"protocol\":1,\"language\":\"c\","                                 \
  "\"facets\":[{\"facet\":\"streams\"}],\"unsupported\":{}}"

struct stream {
  long long capacity, low, depth, first; /* items is a ring */
  long long *items;
  char policy[32];
  bool active, done;
};

static struct stream stream;

/* Return what stands behind a field's name in a flat JSON object, or NULL. */
static const char *raw(const char *request, const char *name) {
  char key[64];
  snprintf(key, sizeof key, "\"%s\":", name);
  const char *found = strstr(request, key);
  if (found == NULL) return NULL;
  found += strlen(key);
  return found + strspn(found, " ");
}

static double number(const char *request, const char *name, double otherwise) {
  const char *found = raw(request, name);
  return found == NULL ? otherwise : strtod(found, NULL);
}

static long long integer(const char *request, const char *name) {
  const char *found = raw(request, name);
  return found == NULL ? 0 : strtoll(found, NULL, 10);
}

static void text(const char *request, const char *name, const char *otherwise, char *target, size_t size) {
  const char *found = raw(request, name);
  if (found == NULL || *found != '"') {
    snprintf(target, size, "%s", otherwise);
    return;
  }
  snprintf(target, size, "%.*s", (int)strcspn(found + 1, "\""), found + 1);
}

/* An operation that the runtime refused has changed nothing; `kind` is the specification's symbolic kind. */
static void refuse(const char *kind) { printf("{\"re\":\"fault\",\"kind\":\"%s\"}", kind); }

static void describe(void) {
  bool waits = strcmp(stream.policy, "block-producer") == 0 && (stream.active || stream.depth == stream.capacity);
  printf("{\"re\":\"stream\",\"depth\":%lld,\"credits\":%lld,\"capacity\":%lld,\"low\":%lld,\"pressure\":\"%s\",\"may_produce\":%s,"
         "\"is_complete\":%s}",
         stream.depth, stream.capacity - stream.depth, stream.capacity, stream.low, stream.active ? "active" : "normal",
         !stream.done && !waits ? "true" : "false", stream.done && stream.depth == 0 ? "true" : "false");
}

static void open_stream(const char *request) {
  long long capacity = integer(request, "capacity");
  double ratio = number(request, "low_watermark_ratio", 0.5);
  if (capacity < 1) { refuse("invalid-capacity"); return; }
  if (!(ratio >= 0 && ratio < 1)) { refuse("invalid-ratio"); return; }
  long long *items = calloc((size_t)capacity, sizeof *items);
  if (items == NULL) { refuse("allocation-failed"); return; }
  free(stream.items);
  stream = (struct stream){.capacity = capacity, .low = (long long)((double)capacity * ratio), .items = items};
  text(request, "policy", "block-producer", stream.policy, sizeof stream.policy);
  describe();
}

static long long take(void) {
  long long value = stream.items[stream.first];
  stream.first = (stream.first + 1) % stream.capacity;
  stream.depth -= 1;
  return value;
}

static void push(long long value) {
  if (stream.done) { refuse("producer-complete"); return; }
  const char *verdict = "enqueued";
  bool evicts = false;
  long long evicted = 0;
  if (stream.depth == stream.capacity) {
    if (strcmp(stream.policy, "block-producer") == 0) { refuse("queue-full"); return; }
    if (strcmp(stream.policy, "drop-oldest") != 0) {
      printf("{\"re\":\"pushed\",\"verdict\":\"%s\",\"stream\":", strcmp(stream.policy, "error") == 0 ? "queue-full" : "refused-newest");
      describe();
      printf("}");
      return;
    }
    verdict = "evicted-oldest";
    evicts = true;
    evicted = take();
  }
  stream.items[(stream.first + stream.depth) % stream.capacity] = value;
  stream.depth += 1;
  bool changed = stream.depth == stream.capacity && !stream.active;
  if (changed) stream.active = true;
  printf("{\"re\":\"pushed\",\"verdict\":\"%s\",\"stream\":", verdict);
  describe();
  if (evicts) printf(",\"evicted\":%lld", evicted);
  if (changed) printf(",\"pressure_changed\":\"active\"");
  printf("}");
}

static void pop(void) {
  if (stream.depth == 0) { refuse("queue-empty"); return; }
  long long value = take();
  bool changed = stream.active && stream.depth <= stream.low;
  if (changed) stream.active = false;
  printf("{\"re\":\"popped\",\"value\":%lld,\"stream\":", value);
  describe();
  if (changed) printf(",\"pressure_changed\":\"normal\"");
  printf("}");
}

static void answer(const char *op, const char *request) {
  if (strcmp(op, "hello") == 0) printf("%s", DECLARATION);
  else if (strcmp(op, "bye") == 0) printf("{\"re\":\"done\"}");
  else if (strcmp(op, "streams.open") == 0) open_stream(request);
  else if (strcmp(op, "streams.push") == 0) push(integer(request, "value"));
  else if (strcmp(op, "streams.pop") == 0) pop();
  else if (strcmp(op, "streams.complete") == 0) { stream.done = true; describe(); }
  else if (strcmp(op, "streams.inspect") == 0) describe();
  else printf("{\"re\":\"unsupported\",\"reason\":\"%s is not implemented\"}", op);
}

/* Standard output belongs to the protocol: log to stderr only. */
int main(void) {
  char *line = NULL;
  size_t room = 0;
  stream = (struct stream){.capacity = 64, .low = 32, .items = calloc(64, sizeof(long long)), .policy = "block-producer"};
  if (stream.items == NULL) return 1;
  while (getline(&line, &room, stdin) > 0) {
    const char *request = strstr(line, "\"request\":");
    char op[64];
    text(request == NULL ? "" : request, "op", "", op, sizeof op);
    printf("{\"id\":%lld,\"reply\":", integer(line, "id"));
    answer(op, request == NULL ? "" : request);
    printf("}\n");
    fflush(stdout);
    if (strcmp(op, "bye") == 0) break;
  }
  free(line);
  free(stream.items);
  return 0;
}
