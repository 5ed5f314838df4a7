// Package rdb reads and writes snapshots of Redis, as they are in its files
// *.rdb and on the wire to a replica. The values of keys are passed through as
// they are, of any size, so all of what a server keeps survives; only where they
// end is understood.
//
// The format is that of redis/src/rdb.c, versions 6 to 12 (Redis 3.2 to 8.0,
// Valkey 7.2 and 8).
package rdb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
)

// What can stand where an entry begins, beside the type of a value.
const (
	opSlotInfo  = 0xF4
	opFunction  = 0xF5
	opModuleAux = 0xF7
	opIdle      = 0xF8
	opFreq      = 0xF9
	opAux       = 0xFA
	opResize    = 0xFB
	opExpireMS  = 0xFC
	opExpireSec = 0xFD
	opSelect    = 0xFE
	opEnd       = 0xFF
)

const (
	magic      = "REDIS"
	oldest     = 6
	newest     = 12
	maxString  = 512 << 20 // Redis's own limit
	maxInplace = 64 << 20  // of what is held in memory: keys, libraries of functions
)

// ErrCorrupt is wrapped by the errors of all that is not a snapshot, or not a
// whole one.
var ErrCorrupt = errors.New("the snapshot of Redis is damaged")

// Entry is a key of a snapshot, or a library of functions.
type Entry struct {
	DB  int
	Key []byte
	// Type is how the value is encoded; see Kind.
	Type byte
	// ExpireAt is when the key ends, in milliseconds since 1970; 0 for never.
	ExpireAt int64
	// Function is the source of a library; then there is nothing else.
	Function []byte
}

// Kind is the type of the value as users know it: "string", "stream".
func (e Entry) Kind() string {
	switch e.Type {
	case 0:
		return "string"
	case 1, 10, 14, 18:
		return "list"
	case 2, 11, 20:
		return "set"
	case 3, 5, 12, 17:
		return "zset"
	case 4, 9, 13, 16, 24, 25:
		return "hash"
	case 15, 19, 21:
		return "stream"
	}
	return "module"
}

// table is of the polynomial that Redis uses: Jones, reflected.
var table = crc64.MakeTable(0x95AC9329AC4BC9B5)

// Checksum continues the checksum sum, at first 0, by p. Go inverts the sum
// before and after, and Redis does not.
func Checksum(sum uint64, p []byte) uint64 { return ^crc64.Update(^sum, table, p) }

// Footer is what follows the type and the value in the payload of the command
// RESTORE; sum is their checksum.
func Footer(version int, sum uint64) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(version))
	return binary.LittleEndian.AppendUint64(b, Checksum(sum, b))
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}
