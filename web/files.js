// A file system in memory, and the system calls (WASI) by which the compiled core reads and writes it.
// Classic script: a page includes it before host.js; node requires it.
"use strict";

// Names are relative to the root, without a leading slash: "lua/latent/init.lua". A folder is there as
// soon as a file lies in it, or when it has been made.
class LatentFiles {
  // files: an object or a Map of names to bytes (Uint8Array) or texts.
  constructor(files = {}) {
    this.entries = new Map();
    this.serial = 0;
    for (const [name, data] of files instanceof Map ? files : Object.entries(files)) this.write(name, data);
  }

  static normal(name) {
    const parts = [];
    for (const part of name.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return parts.join("/");
  }

  static bytes(data) { return typeof data === "string" ? new TextEncoder().encode(data) : data; }

  // The bytes of a file, a view that later writes leave alone; undefined where there is none.
  read(name) {
    const entry = this.entries.get(LatentFiles.normal(name));
    return entry && entry.data ? entry.data.subarray(0, entry.size) : undefined;
  }

  // Makes a file, or puts other bytes into one. The bytes are not copied before the core changes them.
  write(name, data) {
    const bytes = LatentFiles.bytes(data);
    const entry = this.entry(LatentFiles.normal(name), true);
    Object.assign(entry, {data: bytes, size: bytes.length, own: false});
  }

  remove(name) { return this.entries.delete(LatentFiles.normal(name)); }

  // The names of all files, sorted.
  names() { return [...this.entries].filter(([, entry]) => entry.data).map(([name]) => name).sort(); }

  entry(name, make) {
    let entry = this.entries.get(name);
    if (!entry && make) {
      entry = {number: ++this.serial, data: new Uint8Array(0), size: 0, own: true};
      this.entries.set(name, entry);
    }
    return entry;
  }

  makeFolder(name) { this.entries.set(name, {number: ++this.serial}); }

  isFolder(name) {
    const entry = this.entries.get(name);
    if (name === "" || (entry && !entry.data)) return true;
    if (entry) return false;
    for (const other of this.entries.keys()) if (other.startsWith(name + "/")) return true;
    return false;
  }

  // What lies in a folder: [name, whether it is a folder].
  list(folder) {
    const start = folder === "" ? "" : folder + "/", found = new Map();
    for (const [name, entry] of this.entries) {
      if (!name.startsWith(start) || name === folder) continue;
      const rest = name.slice(start.length), slash = rest.indexOf("/");
      if (slash < 0) found.set(rest, !entry.data);
      else found.set(rest.slice(0, slash), true);
    }
    return [...found];
  }

  rename(from, to) {
    const moved = [...this.entries].filter(([name]) => name === from || name.startsWith(from + "/"));
    for (const [name, entry] of moved) {
      this.entries.delete(name);
      this.entries.set(to + name.slice(from.length), entry);
    }
    return moved.length > 0;
  }

  // Makes the file's bytes this file system's own, with room for `size` of them.
  static grow(entry, size) {
    if (!entry.own || size > entry.data.length) {
      const data = new Uint8Array(Math.max(size, entry.own ? 2 * entry.data.length : entry.size));
      data.set(entry.data.subarray(0, entry.size));
      Object.assign(entry, {data, own: true});
    }
  }

  static put(entry, at, bytes) {
    const end = at + bytes.length;
    LatentFiles.grow(entry, Math.max(end, entry.size));
    if (at > entry.size) entry.data.fill(0, entry.size, at);
    entry.data.set(bytes, at);
    entry.size = Math.max(entry.size, end);
  }

  static resize(entry, size) {
    LatentFiles.grow(entry, size);
    if (size > entry.size) entry.data.fill(0, entry.size, size);
    entry.size = size;
  }
}

// What WASI calls these.
const LatentWasi = {
  OK: 0, BADF: 8, EXIST: 20, INVAL: 28, ISDIR: 31, NOENT: 44, NOSYS: 52, NOTDIR: 54, NOTEMPTY: 55, SPIPE: 70,
  CHARACTER_DEVICE: 2, DIRECTORY: 3, REGULAR_FILE: 4,
  CREATE: 1, FOLDER: 2, EXCLUSIVE: 4, TRUNCATE: 8, APPEND: 1, ROOT: 3,
};

// The imports of the module. memory() is its memory; write(text, descriptor) takes what is printed
// (1) and what is said of errors (2).
function latentSystem(files, memory, write, environment = {}) {
  const W = LatentWasi, coder = new TextEncoder();
  const decoders = {1: new TextDecoder(), 2: new TextDecoder()};
  const open = [{device: true}, {device: true}, {device: true}, {folder: ""}];
  const view = () => new DataView(memory().buffer);
  const bytes = (p, n) => new Uint8Array(memory().buffer, p, n);
  const set32 = (p, x) => view().setUint32(p, x, true);
  const set64 = (p, x) => view().setBigUint64(p, BigInt(x), true);
  // The name that a path below an open folder stands for.
  const named = (fd, p, n) =>
    LatentFiles.normal(open[fd].folder + "/" + new TextDecoder().decode(bytes(p, n).slice()));
  // The pieces of memory that a list of buffers names.
  const pieces = (list, count) => {
    const v = view(), found = [];
    for (let i = 0; i < count; i++)
      found.push([v.getUint32(list + 8 * i, true), v.getUint32(list + 8 * i + 4, true)]);
    return found;
  };
  const take = file => {
    let fd = 4;
    while (open[fd]) fd++;
    open[fd] = file;
    return fd;
  };

  function read(fd, list, count, at, out) {
    const file = open[fd];
    if (!file || (!file.entry && !file.device)) return file ? W.ISDIR : W.BADF;
    let got = 0;
    if (file.entry)
      for (const [p, n] of pieces(list, count)) {
        const part = file.entry.data.subarray(Math.min(at + got, file.entry.size), Math.min(at + got + n, file.entry.size));
        bytes(p, n).set(part);
        got += part.length;
      }
    set32(out, got);
    return W.OK;
  }

  function put(fd, list, count, at, out) {
    const file = open[fd];
    if (!file || (!file.entry && !file.device)) return W.BADF;
    let done = 0;
    for (const [p, n] of pieces(list, count)) {
      if (file.entry) LatentFiles.put(file.entry, at + done, bytes(p, n));
      else if (decoders[fd]) write(decoders[fd].decode(bytes(p, n).slice(), {stream: true}), fd);
      done += n;
    }
    set32(out, done);
    return W.OK;
  }

  function stat(out, type, number, size) {
    bytes(out, 64).fill(0);
    set64(out + 8, number);
    bytes(out + 16, 1)[0] = type;
    set64(out + 24, 1);
    set64(out + 32, size);
    return W.OK;
  }
  function statNamed(name, out) {
    const entry = files.entries.get(name);
    if (entry && entry.data) return stat(out, W.REGULAR_FILE, entry.number, entry.size);
    return files.isFolder(name) ? stat(out, W.DIRECTORY, entry ? entry.number : 0, 0) : W.NOENT;
  }

  const calls = {
    environ_sizes_get(count, size) {
      const texts = Object.entries(environment).map(([name, value]) => coder.encode(`${name}=${value}\0`));
      set32(count, texts.length);
      set32(size, texts.reduce((sum, text) => sum + text.length, 0));
      return W.OK;
    },
    environ_get(list, to) {
      for (const [name, value] of Object.entries(environment)) {
        const text = coder.encode(`${name}=${value}\0`);
        set32(list, to);
        bytes(to, text.length).set(text);
        list += 4;
        to += text.length;
      }
      return W.OK;
    },
    clock_time_get(clock, precision, out) {
      set64(out, Math.round((clock === 0 ? Date.now() : performance.now()) * 1e6));
      return W.OK;
    },
    fd_close(fd) {
      if (!open[fd]) return W.BADF;
      if (fd > W.ROOT) open[fd] = undefined;
      return W.OK;
    },
    fd_fdstat_get(fd, out) {
      const file = open[fd];
      if (!file) return W.BADF;
      bytes(out, 24).fill(0);
      bytes(out, 1)[0] = file.device ? W.CHARACTER_DEVICE : file.entry ? W.REGULAR_FILE : W.DIRECTORY;
      view().setUint16(out + 2, file.append ? W.APPEND : 0, true);
      // All rights; but what cannot seek is a terminal to the C library, which then writes line by line.
      const rights = file.device ? ~0x24n : ~0n;
      view().setBigUint64(out + 8, BigInt.asUintN(64, rights), true);
      view().setBigUint64(out + 16, BigInt.asUintN(64, rights), true);
      return W.OK;
    },
    fd_fdstat_set_flags(fd, flags) {
      if (!open[fd]) return W.BADF;
      open[fd].append = (flags & W.APPEND) !== 0;
      return W.OK;
    },
    fd_filestat_get(fd, out) {
      const file = open[fd];
      if (!file) return W.BADF;
      if (file.device) return stat(out, W.CHARACTER_DEVICE, 0, 0);
      return file.entry ? stat(out, W.REGULAR_FILE, file.entry.number, file.entry.size) : statNamed(file.folder, out);
    },
    fd_filestat_set_size(fd, size) {
      if (!open[fd] || !open[fd].entry) return W.BADF;
      LatentFiles.resize(open[fd].entry, Number(size));
      return W.OK;
    },
    fd_prestat_get(fd, out) {
      if (fd !== W.ROOT) return W.BADF;
      set32(out, 0);
      set32(out + 4, 1);
      return W.OK;
    },
    fd_prestat_dir_name(fd, p) {
      bytes(p, 1)[0] = 47;
      return W.OK;
    },
    fd_pread: (fd, list, count, at, out) => read(fd, list, count, Number(at), out),
    fd_pwrite: (fd, list, count, at, out) => put(fd, list, count, Number(at), out),
    fd_read(fd, list, count, out) {
      const file = open[fd], status = read(fd, list, count, file ? file.place.at : 0, out);
      if (status === W.OK) file.place.at += view().getUint32(out, true);
      return status;
    },
    fd_write(fd, list, count, out) {
      const file = open[fd];
      if (file && file.append) file.place.at = file.entry.size;
      const status = put(fd, list, count, file ? file.place.at : 0, out);
      if (status === W.OK) file.place.at += view().getUint32(out, true);
      return status;
    },
    fd_seek(fd, offset, whence, out) {
      const file = open[fd];
      if (!file || !file.entry) return file ? W.SPIPE : W.BADF;
      const at = Number(offset) + [0, file.place.at, file.entry.size][whence];
      if (at < 0) return W.INVAL;
      file.place.at = at;
      set64(out, at);
      return W.OK;
    },
    fd_sync: fd => open[fd] ? W.OK : W.BADF,
    fd_renumber(from, to) {
      if (!open[from]) return W.BADF;
      open[to] = open[from];
      open[from] = undefined;
      return W.OK;
    },
    // The names in a folder, from number `cookie` on; the last may be cut off where the buffer ends.
    fd_readdir(fd, p, size, cookie, out) {
      const file = open[fd];
      if (!file || file.folder === undefined) return file ? W.NOTDIR : W.BADF;
      let used = 0;
      const names = [[".", true], ["..", true], ...files.list(file.folder)];
      for (let i = Number(cookie); i < names.length && used < size; i++) {
        const name = coder.encode(names[i][0]), record = new Uint8Array(24 + name.length), v = new DataView(record.buffer);
        v.setBigUint64(0, BigInt(i + 1), true);
        v.setBigUint64(8, BigInt(i + 1), true);
        v.setUint32(16, name.length, true);
        record[20] = names[i][1] ? W.DIRECTORY : W.REGULAR_FILE;
        record.set(name, 24);
        const part = record.subarray(0, size - used);
        bytes(p + used, part.length).set(part);
        used += part.length;
      }
      set32(out, used);
      return W.OK;
    },
    path_create_directory(fd, p, n) {
      const name = named(fd, p, n);
      if (files.entries.has(name) || files.isFolder(name)) return W.EXIST;
      if (!files.isFolder(LatentFiles.normal(name + "/.."))) return W.NOENT;
      files.makeFolder(name);
      return W.OK;
    },
    path_filestat_get: (fd, flags, p, n, out) => statNamed(named(fd, p, n), out),
    path_open(fd, lookup, p, n, how, rights, inheriting, flags, out) {
      const name = named(fd, p, n);
      if (files.isFolder(name)) {
        if (how & (W.CREATE | W.TRUNCATE)) return how & W.EXCLUSIVE ? W.EXIST : W.ISDIR;
        set32(out, take({folder: name, place: {at: 0}}));
        return W.OK;
      }
      const there = files.entries.has(name);
      if (how & W.FOLDER) return there ? W.NOTDIR : W.NOENT;
      if (there ? how & W.EXCLUSIVE : !(how & W.CREATE)) return there ? W.EXIST : W.NOENT;
      if (!there && !files.isFolder(LatentFiles.normal(name + "/.."))) return W.NOENT;
      const entry = files.entry(name, true);
      if (how & W.TRUNCATE) Object.assign(entry, {data: new Uint8Array(0), size: 0, own: true});
      set32(out, take({entry, place: {at: 0}, append: (flags & W.APPEND) !== 0}));
      return W.OK;
    },
    path_readlink(fd, p, n) { // there are no links
      const name = named(fd, p, n);
      return files.entries.has(name) || files.isFolder(name) ? W.INVAL : W.NOENT;
    },
    path_remove_directory(fd, p, n) {
      const name = named(fd, p, n);
      if (!files.isFolder(name)) return files.entries.has(name) ? W.NOTDIR : W.NOENT;
      if (files.list(name).length > 0) return W.NOTEMPTY;
      files.remove(name);
      return W.OK;
    },
    path_rename(fd, p, n, other, q, m) {
      const from = named(fd, p, n), to = named(other, q, m);
      if (from === to) return W.OK;
      if (files.isFolder(to)) return files.list(to).length > 0 ? W.NOTEMPTY : W.ISDIR;
      return files.rename(from, to) ? W.OK : W.NOENT;
    },
    path_unlink_file(fd, p, n) {
      const name = named(fd, p, n);
      if (files.isFolder(name)) return W.ISDIR;
      return files.remove(name) ? W.OK : W.NOENT;
    },
    proc_exit(status) { throw new LatentExit(status); },
  };
  for (const fd of [0, 1, 2]) open[fd].place = {at: 0};
  open[W.ROOT].place = {at: 0};
  const dup = fd => open[fd] ? take(open[fd]) : -1;
  return {calls, dup};
}

// os.exit: thrown through the module to whoever called it.
class LatentExit extends Error {
  constructor(status) {
    super(`exit ${status}`);
    this.status = status;
  }
}

if (typeof module !== "undefined") module.exports = {LatentFiles, latentSystem, LatentExit};
