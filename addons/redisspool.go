package addons

import (
	"bytes"
	"io"
	"os"

	"github.com/abilian/hop3/addons/rdb"
)

// inMemory is how much of one value is held in memory; what is longer is on
// disk until it is sent.
const inMemory = 1 << 20

// spool collects the value of a key, whose length has to be known before it is
// sent.
type spool struct {
	version int
	head    bytes.Buffer
	file    *os.File // nil until a value needs it
	inFile  int64
	sum     uint64
}

// begin forgets the last value, and begins with the type of the next.
func (s *spool) begin(kind byte) error {
	s.head.Reset()
	s.sum = 0
	if s.inFile > 0 {
		if err := s.file.Truncate(0); err != nil {
			return err
		}
		s.inFile = 0
	}
	_, err := s.Write([]byte{kind})
	return err
}

// Write adds to the value.
func (s *spool) Write(p []byte) (n int, err error) {
	s.sum = rdb.Checksum(s.sum, p)
	return s.add(p)
}

func (s *spool) add(p []byte) (n int, err error) {
	if s.inFile == 0 && s.head.Len()+len(p) <= inMemory {
		return s.head.Write(p)
	}
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "hop3-redis-"); err != nil {
			return 0, err
		}
		if err := os.Remove(s.file.Name()); err != nil { // it goes with the process
			return 0, err
		}
	}
	n, err = s.file.WriteAt(p, s.inFile)
	s.inFile += int64(n)
	return n, err
}

// payload ends the value, and returns it as the command RESTORE takes it.
func (s *spool) payload() (body io.Reader, size int64, err error) {
	if _, err := s.add(rdb.Footer(s.version, s.sum)); err != nil {
		return nil, 0, err
	}
	size = int64(s.head.Len()) + s.inFile
	if s.inFile == 0 {
		return bytes.NewReader(s.head.Bytes()), size, nil
	}
	return io.MultiReader(bytes.NewReader(s.head.Bytes()), io.NewSectionReader(s.file, 0, s.inFile)), size, nil
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // nobody else has it
	}
}
