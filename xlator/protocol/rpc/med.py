import re,collections,statistics
d=collections.defaultdict(list)
for l in open('/tmp/rpcwork/bench.log'):
    f=l.split()
    ns=float(f[2]); cpu=float(f[f.index('cpu-us/op')-1])
    d[f[0]].append((ns/1000,cpu))
for k,v in d.items():
    ns=[a for a,b in v]; cpu=[b for a,b in v]
    print(f"{k:40s} us/op med {statistics.median(ns):8.1f} min {min(ns):8.1f}   cpu med {statistics.median(cpu):7.1f} min {min(cpu):7.1f}  n={len(v)}")
