package workload

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

func isErr(err, target error) bool { return errors.Is(err, target) }

// cellSize is the unit of self-describing data. Each cell says which file it
// belongs to, where, and with which write it came:
//
//	0  magic    4  file    8  offset    16  sequence    24  filler    60  CRC-32
//
// Writes need not be aligned to it: they then carry parts of cells.
const (
	cellSize  = 64
	cellMagic = 0x444c4648 // "HFLD"
)

func putCell(b []byte, file uint32, off int64, seq uint64) {
	le := binary.LittleEndian
	le.PutUint32(b, cellMagic)
	le.PutUint32(b[4:], file)
	le.PutUint64(b[8:], uint64(off))
	le.PutUint64(b[16:], seq)
	x := uint64(file)<<32 ^ uint64(off)*0x9e3779b97f4a7c15 ^ seq*0xbf58476d1ce4e5b9
	for i := 24; i < 56; i += 8 {
		x ^= x >> 29
		x *= 0x94d049bb133111eb
		x ^= x >> 32
		le.PutUint64(b[i:], x)
	}
	le.PutUint32(b[56:], ^uint32(seq))
	le.PutUint32(b[60:], crc32.ChecksumIEEE(b[:60]))
}

// fill writes into b what write number seq puts at off of the file.
func fill(b []byte, file uint32, off int64, seq uint64) {
	var cell [cellSize]byte
	for len(b) > 0 {
		at := off / cellSize * cellSize
		if at == off && len(b) >= cellSize {
			putCell(b[:cellSize], file, at, seq)
			b, off = b[cellSize:], off+cellSize
			continue
		}
		putCell(cell[:], file, at, seq)
		n := copy(b, cell[off-at:])
		b, off = b[n:], off+int64(n)
	}
}

// describe says what stands in the cell around off of data, which begins at
// base of its file.
func describe(data []byte, base, off int64) string {
	at := off/cellSize*cellSize - base
	if at < 0 || at+cellSize > int64(len(data)) {
		return "part of a cell"
	}
	c := data[at : at+cellSize]
	le := binary.LittleEndian
	switch {
	case bytes.Count(c, []byte{0}) == cellSize:
		return "zeros"
	case le.Uint32(c) != cellMagic:
		return fmt.Sprintf("no cell (%x...)", c[:8])
	}
	sum := "good"
	if crc32.ChecksumIEEE(c[:60]) != le.Uint32(c[60:]) {
		sum = "BAD"
	}
	return fmt.Sprintf("file %d offset %d write %d, checksum %s", le.Uint32(c[4:]), le.Uint64(c[8:]), le.Uint64(c[16:]), sum)
}

// same compares what was read at off of a file with what must be there.
func same(name string, got, want []byte, off int64) error {
	if bytes.Equal(got, want) {
		return nil
	}
	if len(got) != len(want) {
		return fmt.Errorf("%s: %d bytes at %d, want %d", name, len(got), off, len(want))
	}
	first, count := -1, 0
	for i := range got {
		if got[i] != want[i] {
			if first < 0 {
				first = i
			}
			count++
		}
	}
	at := off + int64(first)
	return fmt.Errorf("%s: %d of %d bytes read at %d are wrong, the first at %d: got %s; want %s",
		name, count, len(got), off, at, describe(got, off, at), describe(want, off, at))
}

// sameSum compares by SHA-256 first and explains afterwards.
func sameSum(name string, got, want []byte) error {
	if sha256.Sum256(got) == sha256.Sum256(want) {
		return nil
	}
	if err := same(name, got, want, 0); err != nil {
		return err
	}
	return fmt.Errorf("%s: SHA-256 differs of equal bytes", name)
}
