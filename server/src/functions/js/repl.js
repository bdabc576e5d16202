// The module that inline queries import: `query` and `internalQuery`, over the host operations that pushed queries use.
const op = (name, args) => JSON.parse(Convex.syscall(name, JSON.stringify(args)));
const asyncOp = async (name, args) => JSON.parse(await Convex.asyncSyscall(name, JSON.stringify(args)));

const toBase64 = (bytes) => btoa(String.fromCharCode(...bytes));
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

const isPlain = (value) => {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || prototype?.constructor?.name === "Object";
};

const encode = (value) => {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) !== value) throw new Error(`BigInt ${value} does not fit into a 64-bit signed integer.`);
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, value, true);
    return { $integer: toBase64(bytes) };
  }
  if (typeof value === "number") {
    if (Number.isFinite(value) && !Object.is(value, -0)) return value;
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return { $float: toBase64(bytes) };
  }
  if (value instanceof ArrayBuffer) return { $bytes: toBase64(new Uint8Array(value)) };
  if (Array.isArray(value)) return value.map(encode);
  if (!isPlain(value)) throw new Error(`${typeof value === "object" ? "This object" : String(value)} is not a supported Convex type.`);
  const entries = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(entries.map(([name, member]) => [name, encode(member)]));
};

const decode = (json) => {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(decode);
  const entries = Object.entries(json);
  if (entries.length === 1) {
    const [[name, value]] = entries;
    if (name === "$integer") return new DataView(fromBase64(value).buffer).getBigInt64(0, true);
    if (name === "$float") return new DataView(fromBase64(value).buffer).getFloat64(0, true);
    if (name === "$bytes") return fromBase64(value).buffer;
  }
  return Object.fromEntries(entries.map(([name, member]) => [name, decode(member)]));
};

const orUndefined = (value) => (value === undefined ? { $undefined: null } : encode(value));

class Expression {
  constructor(json) {
    this.json = json;
  }
}
const expression = (value) => (value instanceof Expression ? value.json : { $literal: orUndefined(value) });
const filterBuilder = { field: (path) => new Expression({ $field: path }) };
for (const name of ["eq", "neq", "lt", "lte", "gt", "gte", "add", "sub", "mul", "div", "mod"]) {
  filterBuilder[name] = (left, right) => new Expression({ [`$${name}`]: [expression(left), expression(right)] });
}
for (const name of ["neg", "not"]) {
  filterBuilder[name] = (operand) => new Expression({ [`$${name}`]: expression(operand) });
}
for (const name of ["and", "or"]) {
  filterBuilder[name] = (...operands) => new Expression({ [`$${name}`]: operands.map(expression) });
}

class Range {
  constructor(range = []) {
    this.range = range;
  }
}
for (const type of ["Eq", "Gt", "Gte", "Lt", "Lte"]) {
  Range.prototype[type.toLowerCase()] = function (fieldPath, value) {
    return new Range([...this.range, { type, fieldPath, value: orUndefined(value) }]);
  };
}

class SearchFilters {
  constructor(filters = []) {
    this.filters = filters;
  }
  search(fieldPath, value) {
    return new SearchFilters([...this.filters, { type: "Search", fieldPath, value }]);
  }
  eq(fieldPath, value) {
    return new SearchFilters([...this.filters, { type: "Eq", fieldPath, value: orUndefined(value) }]);
  }
}

class Query {
  #source;
  #operators;
  constructor(source, operators = []) {
    this.#source = source;
    this.#operators = operators;
  }
  #with(operator) {
    return new Query(this.#source, [...this.#operators, operator]);
  }
  fullTableScan() {
    return this;
  }
  withIndex(name, range = (it) => it) {
    const indexName = `${this.#source.tableName}.${name}`;
    return new Query({ type: "IndexRange", indexName, range: range(new Range()).range, order: null });
  }
  withSearchIndex(name, filters) {
    const indexName = `${this.#source.tableName}.${name}`;
    return new Query({ type: "Search", indexName, filters: filters(new SearchFilters()).filters });
  }
  order(order) {
    if (this.#source.order) throw new Error("Queries may only specify order at most once");
    return new Query({ ...this.#source, order }, this.#operators);
  }
  filter(predicate) {
    return this.#with({ filter: expression(predicate(filterBuilder)) });
  }
  limit(count) {
    return this.#with({ limit: count });
  }
  async *[Symbol.asyncIterator]() {
    const { queryId } = op("1.0/queryStream", { query: { source: this.#source, operators: this.#operators } });
    try {
      for (;;) {
        const { value, done } = await asyncOp("1.0/queryStreamNext", { queryId });
        if (done) return;
        yield decode(value);
      }
    } finally {
      op("1.0/queryCleanup", { queryId });
    }
  }
  async collect() {
    const documents = [];
    for await (const document of this) documents.push(document);
    return documents;
  }
  async take(count) {
    if (!Number.isInteger(count) || count < 0) throw new TypeError("Arg 1 `n` to `take` must be a non-negative integer");
    return await this.limit(count).collect();
  }
  async first() {
    return (await this.take(1))[0] ?? null;
  }
  async unique() {
    const found = await this.take(2);
    if (found.length > 1) {
      const ids = found.map(({ _id }) => _id).join(", ");
      throw new Error(`unique() query returned more than one result:\n [${ids}, ...]`);
    }
    return found[0] ?? null;
  }
  async count() {
    return (await this.collect()).length;
  }
  async paginate({ numItems, cursor = null, endCursor = null, maximumRowsRead = null, maximumBytesRead = null }) {
    const query = { source: this.#source, operators: this.#operators };
    const page = await asyncOp("1.0/queryPage", {
      query, cursor, endCursor, pageSize: numItems, maximumRowsRead, maximumBytesRead,
    });
    return { ...page, page: page.page.map(decode) };
  }
}

const reader = (isSystem) => {
  const get = async (...args) => {
    const [table, id] = args.length > 1 ? args : [undefined, args[0]];
    if (typeof id !== "string") throw new TypeError(`\`db.get\` expects an id, not ${typeof id}`);
    return decode(await asyncOp("1.0/get", { id, isSystem, ...(table === undefined ? {} : { table }) }));
  };
  const query = (tableName) => {
    if (tableName.startsWith("_") !== isSystem) {
      throw new Error(
        isSystem
          ? "User tables can only be accessed from db.query()."
          : "System tables can only be accessed from db.system.query().",
      );
    }
    return new Query({ type: "FullTableScan", tableName, order: null });
  };
  const normalizeId = (table, idString) => op("1.0/db/normalizeId", { table, idString }).id;
  const table = (name) => ({ get: (id) => get(name, id), query: () => query(name) });
  return { get, query, normalizeId, table };
};

const named = async (reference) => {
  const address = reference?.[Symbol.for("functionName")] ?? reference;
  if (typeof address !== "string") throw new Error("A function is named by a reference or a text as in `messages:list`");
  return address.startsWith("function://") ? { functionHandle: address } : { name: address };
};

const context = () => ({
  db: { ...reader(false), system: reader(true) },
  auth: { getUserIdentity: () => asyncOp("1.0/getUserIdentity", { requestId: "" }) },
  storage: {
    getUrl: (storageId) => asyncOp("1.0/storageGetUrl", { requestId: "", storageId }),
    getMetadata: (storageId) => asyncOp("1.0/storageGetMetadata", { requestId: "", storageId }),
  },
  runQuery: async (reference, args = {}) =>
    decode(await asyncOp("1.0/runUdf", { udfType: "query", args: encode(args), ...(await named(reference)) })),
});

const register = (visibility) => (definition) => {
  const handler = typeof definition === "function" ? definition : definition.handler;
  const invokeQuery = async (text) => {
    const result = await handler(context(), ...decode(JSON.parse(text)));
    return JSON.stringify(result === undefined ? null : encode(result));
  };
  return Object.assign(() => {}, { isQuery: true, [visibility]: true, invokeQuery });
};

export const query = register("isPublic");
export const internalQuery = register("isInternal");
