package hop3

import (
	"io/fs"
	"slices"
	"time"
)

// FileStamps remember what was in a directory between two copies of it. The
// zero value remembers nothing. It is not safe for concurrent use.
type FileStamps struct {
	round   int
	files   map[string]fileStamp
	another []string // those that are of another kind now
}

// FileStamp is what tells a file, and a change of it, from another.
type FileStamp struct {
	Kind              fs.FileMode // its type bits
	Inode             uint64
	Size              int64
	Modified, Changed time.Time
}

type fileStamp struct {
	FileStamp
	round int
}

// Next begins another look at the directory.
func (s *FileStamps) Next() {
	s.round++
	s.another = nil
}

// coarseClock is far above how exactly file systems keep time.
const coarseClock = time.Second

// Seen notes a file, and reports whether it was the same at an earlier look. A
// file that changed so shortly before now that one more change might bear the
// same time is another one at the next look.
func (s *FileStamps) Seen(name string, is FileStamp, now time.Time) bool {
	if s.files == nil {
		s.files = map[string]fileStamp{}
	}
	old, known := s.files[name]
	same := known && old.FileStamp == is
	if known && old.Kind != is.Kind {
		s.another = append(s.another, name)
	}
	if now.Sub(is.Changed) < coarseClock {
		is.Changed = time.Time{}
	}
	s.files[name] = fileStamp{is, s.round}
	return same
}

// Gone returns the files that were there at an earlier look, and at this one
// are not, or are of another kind, in order.
func (s *FileStamps) Gone() []string {
	gone := slices.Clone(s.another)
	for name, stamp := range s.files {
		if stamp.round != s.round {
			gone = append(gone, name)
		}
	}
	slices.Sort(gone)
	return gone
}
