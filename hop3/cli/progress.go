package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// upload is an archive on its way to the server. At a terminal it shows, as it
// is read, how far it is.
type upload struct {
	in    io.Reader
	size  int64
	out   *bar // nil when nobody looks
	now   func() time.Time
	sent  int64
	began time.Time
	last  time.Time // when the bar was drawn
}

const (
	barWidth = 30
	barEvery = 100 * time.Millisecond
)

// uploading returns the archive with a bar where there is somebody to see it.
func (p *program) uploading(a *packed) *upload {
	return &upload{in: a.File, size: a.size, now: time.Now, out: p.bar()}
}

// Read reads of the archive.
func (u *upload) Read(b []byte) (int, error) {
	if u.began.IsZero() {
		u.began = u.now()
	}
	n, err := u.in.Read(b)
	u.sent += int64(n)
	if now := u.now(); u.out != nil && now.Sub(u.last) >= barEvery {
		u.last = now
		u.out.show("Uploading", u.sent, u.size)
	}
	return n, err
}

// end takes the bar away. An upload that is whole is told of in its place.
func (u *upload) end() {
	switch {
	case u.out == nil || u.last.IsZero():
	case u.sent < u.size:
		u.out.clear()
	default:
		u.out.clear()
		fmt.Fprintf(u.out.to, "Uploaded %s in %.1fs\n", size(u.size), u.now().Sub(u.began).Seconds())
	}
}

// bar is a line of a terminal that says how far something is. Nil shows
// nothing.
type bar struct {
	to    io.Writer
	drawn bool
}

// bar returns one where there is somebody to see it, and nil elsewhere.
func (p *program) bar() *bar {
	if !isTerminal(p.Err) || p.flags.json || p.flags.verbosity == 0 {
		return nil
	}
	return &bar{to: p.Err}
}

// show draws the bar anew; with a total of 0 only how much is done.
func (b *bar) show(what string, done, total int64) {
	b.drawn = true
	what = clean(strings.ReplaceAll(what, "\n", " "))
	if total <= 0 {
		fmt.Fprintf(b.to, "\r\x1b[K%s %s", what, size(done))
		return
	}
	done = min(done, total)
	full := int(done * barWidth / total)
	fmt.Fprintf(b.to, "\r\x1b[K%s %s of %s [%s%s] %d%%", what, size(done), size(total),
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/total)
}

// clear takes the bar away.
func (b *bar) clear() {
	if b != nil && b.drawn {
		b.drawn = false
		fmt.Fprint(b.to, "\r\x1b[K")
	}
}
