package backup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"

	"github.com/klauspost/compress/flate"
)

// An archive is gzip of many members (RFC 1952, 2.2), which any reader takes
// for one. Each says in a subfield of its header how long it is, so that those
// who know this find where the next begins, and decompress several at once. The
// last one is empty: without it the archive is cut off.
const (
	// memberData is how much of a tar is in a member.
	memberData = 512 << 10
	// maxMemberData and maxMember are what a member may have, decompressed and
	// as it is. Sizes of a stranger are believed up to here.
	maxMemberData = 1 << 20
	maxMember     = maxMemberData + maxMemberData>>8 + 1<<10
	headerSize    = 20
	trailerSize   = 8
	subfieldSize  = 4
	sizeAt        = headerSize - subfieldSize
)

// memberHeader is how the header of each begins: FEXTRA is its only flag, no
// time, written fast, on Unix; and one subfield, "H3", which is the size of the
// member with all that is around it, in four bytes, the lowest first.
var memberHeader = []byte{0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 4, 3, subfieldSize + 4, 0, 'H', '3', subfieldSize, 0}

// maxAtOnce bounds the memory that archives take on servers with many
// processors.
const maxAtOnce = 8

// atOnce is how many members are worked on at the same time.
func atOnce() int { return min(runtime.GOMAXPROCS(0), maxAtOnce) }

// memberSize returns the size that a member's header tells; none, if it has
// none and is another program's.
func memberSize(header []byte) (int, bool) {
	if len(header) < headerSize || !bytes.HasPrefix(header, memberHeader) {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(header[sizeAt:])
	return int(min(n, maxMember+1)), true
}

// packer makes members. It is not safe for concurrent use.
type packer struct{ deflate *flate.Writer }

// pack returns a member that holds data, in the room of dst if that is enough.
func (p *packer) pack(dst, data []byte) ([]byte, error) {
	out := bytes.NewBuffer(append(append(dst[:0], memberHeader...), make([]byte, subfieldSize)...))
	if p.deflate == nil {
		var err error
		if p.deflate, err = flate.NewWriter(out, flate.BestSpeed); err != nil {
			return nil, err
		}
	}
	p.deflate.Reset(out)
	if _, err := p.deflate.Write(data); err != nil {
		return nil, err
	}
	if err := p.deflate.Close(); err != nil {
		return nil, err
	}
	b := binary.LittleEndian.AppendUint32(out.Bytes(), crc32.ChecksumIEEE(data))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	binary.LittleEndian.PutUint32(b[sizeAt:], uint32(len(b)))
	return b, nil
}

// errMember is that of a file of members that are not what their sizes say.
var errMember = errors.New("a member of the gzip file is damaged")

// dataSize returns how much a whole member says it holds.
func dataSize(member []byte) int {
	return int(min(binary.LittleEndian.Uint32(member[len(member)-4:]), maxMemberData+1))
}

// unpack decompresses a whole member into out, which is as long as what it
// holds has to be.
func (d *inflater) unpack(out, member []byte) error {
	end := len(member) - trailerSize
	if err := d.inflate(out, member[headerSize:end]); err != nil {
		return fmt.Errorf("%w: %w", errMember, err)
	}
	if crc32.ChecksumIEEE(out) != binary.LittleEndian.Uint32(member[end:]) {
		return fmt.Errorf("%w: its checksum differs", errMember)
	}
	return nil
}
