"""Checks the log's proofs as RFC 9162 describes in sections 2.1.3.2 and 2.1.4.2, with the standard library only.

Standard input: answers of /v1/audit/proofs and /v1/audit/consistency, one a line; the latter with `from_root`, the older tree's root, the
former with `row`, the exported row, where the leaf is to be checked as well. Ends with 1 at the first that does not hold.
"""
import base64, hashlib, json, sys, uuid


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def entry_hash(id, row):
    return hashlib.sha256(b"\0" + uuid.UUID(id).bytes + hashlib.sha256(row.encode()).digest()).digest()


def inclusion(leaf, index, size, path, root):
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    return index < size and sn == 0 and r == root


def consistency(first, second, path, old, new):
    if first == second:
        return path == [] and old == new
    if first & (first - 1) == 0:
        path = [old] + path
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == old and sr == new and sn == 0


def holds(proof):
    _, size, root, *_ = proof["checkpoint"].split("\n")
    size, root, path = int(size), base64.b64decode(root), [base64.b64decode(p) for p in proof["hashes"]]
    if "from" in proof:
        return proof["to"] == size and consistency(proof["from"], size, path, base64.b64decode(proof["from_root"]), root)
    leaf = base64.b64decode(proof["leaf_hash"])
    is_row = "row" not in proof or entry_hash(proof["id"], proof["row"]) == leaf
    return is_row and proof["tree_size"] == size and inclusion(leaf, proof["leaf_index"], size, path, root)


for line in sys.stdin:
    if not holds(json.loads(line)):
        sys.exit(1)
