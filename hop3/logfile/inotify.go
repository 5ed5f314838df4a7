package logfile

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// written returns the files that a batch of inotify's events tells of. When
// the kernel dropped events, that is all of them.
func (r *Rotator) written(events []byte) map[string]bool {
	files := make(map[string]bool)
	overflow := false
	r.mu.Lock()
	for len(events) >= unix.SizeofInotifyEvent {
		// struct inotify_event: int wd, uint32 mask, cookie, len; char name[len].
		wd := int32(binary.NativeEndian.Uint32(events[0:]))
		mask := binary.NativeEndian.Uint32(events[4:])
		size := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[12:]))
		events = events[min(size, len(events)):]
		switch file, ok := r.watches[wd]; {
		case mask&unix.IN_Q_OVERFLOW != 0:
			overflow = true
		case mask&unix.IN_IGNORED != 0:
			delete(r.watches, wd) // the file is gone
		case ok:
			files[file] = true
		}
	}
	r.mu.Unlock()
	if overflow {
		return r.all()
	}
	return files
}
