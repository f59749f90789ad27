// Bench prints the benchmark tables: `make bench`. Everything that is compared
// runs in the same call, in turn, on the same machine: the directory itself,
// bindfs over it, and Holdfast over it; `make bench-gluster`: a GlusterFS volume
// that package lab starts, mounted by the stock client and by Holdfast. It owns
// the mounts and processes it starts and takes them away at the end, also after
// an interrupt; a crash of bench itself leaves its mounts below the folder that it
// printed.
package main
