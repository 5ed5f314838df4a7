package supervisor

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/procfs"
)

// record is what is written down of an instance, before it starts and again
// when its process is known. It holds no environment: that may be secret, and
// who starts the instance again brings it.
type record struct {
	Marker  string
	App     string
	Release int
	Type    string
	Ordinal int
	Command string
	LogFile string
	Port    int    `json:",omitempty"` // 0: serves no HTTP, or on Socket
	Socket  string `json:",omitempty"`
	// Container is the name of its container; then PID is the engine's client.
	Container string `json:",omitempty"`

	PID       int    // 0: about to start
	Start     uint64 // as procfs.Process.Start
	Boot      string // the boot's id
	StartedAt time.Time
	Restarts  int
	LastExit  string      `json:",omitempty"`
	Exits     []hop3.Exit `json:",omitempty"` // the last maxExits
	// OOMKills is how many processes of the instance's group had been killed
	// for want of memory when the run began, or when anybody looked last.
	OOMKills int `json:",omitempty"`
}

func (r *record) id() hop3.ReleaseID { return hop3.ReleaseID{App: r.App, Number: r.Release} }

// alive reports whether the recorded process still runs.
func (r *record) alive(boot string) bool {
	if r.PID == 0 || r.Boot != boot {
		return false
	}
	p, ok := procfs.Find(r.PID)
	return ok && !p.Dead && p.Start == r.Start
}

func (r *record) instance(state hop3.InstanceState) hop3.Instance {
	i := hop3.Instance{
		App: r.App, Release: r.Release, Type: r.Type, Ordinal: r.Ordinal,
		State: state, StartedAt: r.StartedAt, Restarts: r.Restarts, LastExit: r.LastExit, Exits: slices.Clone(r.Exits), LogFile: r.LogFile, Container: r.Container,
	}
	if state == hop3.InstanceRunning {
		i.PID = r.PID
	}
	switch {
	case r.Socket != "":
		i.Upstream = "unix/" + r.Socket
	case r.Port != 0:
		i.Upstream = "127.0.0.1:" + strconv.Itoa(r.Port)
	}
	return i
}

// maxExits is how many ends of runs are remembered of an instance.
const maxExits = 8

// ends notes how a run ended, and when that was seen: the zero time when no
// server ran. Copies of the record share none of it.
func (r *record) ends(how string, at time.Time) {
	r.LastExit = how
	r.Exits = append(slices.Clone(r.Exits[max(len(r.Exits)-maxExits+1, 0):]), hop3.Exit{At: at, How: how})
}

// states are the state files: <dir>/<app>/<release>/<type>.<ordinal>.json.
type states struct {
	dir  string
	home string // names this directory in markers
	boot string
	// mu keeps a directory that becomes empty from being removed while a file
	// is written into it, and known from telling something else than the files.
	mu sync.Mutex
	// known are the records of the releases that were asked for. Nobody else
	// writes into the directory: it is locked.
	known map[hop3.ReleaseID][]record
}

// maxKnown bounds known: releases come and go.
const maxKnown = 10_000

// openStates makes up, the first time, the random name by which the instances
// of this directory are told from those of another server.
func openStates(dir string) (*states, error) {
	boot, err := procfs.BootID()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, ".id")
	home, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(home) == 0 {
		var b [8]byte
		rand.Read(b[:])
		home = []byte(hex.EncodeToString(b[:]))
		err = replaceFile(file, home)
	}
	return &states{dir: dir, home: string(home), boot: boot}, err
}

// marker names an instance on this machine. Names of apps and types contain no
// colon.
func (s *states) marker(id hop3.ReleaseID, processType string, ordinal int) string {
	return fmt.Sprintf("%s:%s:%d:%s:%d", s.home, id.App, id.Number, processType, ordinal)
}

func (s *states) save(r *record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, r.id())
	file := s.file(r.id(), r.Type, r.Ordinal)
	if err := overwriteFile(file, b); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(s.releaseDir(r.id()), 0o700); err != nil {
		return err
	}
	return replaceFile(file, b)
}

func (s *states) remove(r *record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, r.id())
	err := os.Remove(s.file(r.id(), r.Type, r.Ordinal))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The directories go with the last file in them; until then this fails.
	if os.Remove(s.releaseDir(r.id())) == nil {
		_ = os.Remove(filepath.Join(s.dir, r.App))
	}
	return nil
}

// load returns the record of one instance, nil when there is none.
func (s *states) load(id hop3.ReleaseID, processType string, ordinal int) (*record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.read(id, processType, ordinal)
}

// read is load for who holds mu.
func (s *states) read(id hop3.ReleaseID, processType string, ordinal int) (*record, error) {
	b, err := os.ReadFile(s.file(id, processType, ordinal))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// What names the instance comes from the file's name: a file that a crash
	// of the machine emptied still says that there was one.
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		r = record{}
	}
	r.Marker = s.marker(id, processType, ordinal)
	r.App, r.Release, r.Type, r.Ordinal = id.App, id.Number, processType, ordinal
	return &r, nil
}

// release returns the records of a release.
func (s *states) release(id hop3.ReleaseID) ([]record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if records, ok := s.known[id]; ok {
		return slices.Clone(records), nil
	}
	if err := validateID(id); err != nil {
		return nil, err
	}
	records, err := s.readRelease(id)
	if err != nil {
		return nil, err
	}
	if s.known == nil || len(s.known) >= maxKnown {
		s.known = map[hop3.ReleaseID][]record{}
	}
	s.known[id] = records
	return slices.Clone(records), nil
}

// readRelease is release, of the files, for who holds mu.
func (s *states) readRelease(id hop3.ReleaseID) ([]record, error) {
	names, err := list(s.releaseDir(id))
	if err != nil {
		return nil, err
	}
	var records []record
	for _, n := range names {
		processType, rest, _ := strings.Cut(n, ".")
		number, isState := strings.CutSuffix(rest, ".json")
		ordinal, err := strconv.Atoi(number)
		if !isState || err != nil {
			continue // half written by a crash
		}
		r, err := s.read(id, processType, ordinal)
		if err != nil {
			return nil, err
		}
		if r != nil {
			records = append(records, *r)
		}
	}
	return records, nil
}

// releases returns the releases that have state files, ordered by app.
func (s *states) releases() ([]hop3.ReleaseID, error) {
	apps, err := list(s.dir)
	if err != nil {
		return nil, err
	}
	var ids []hop3.ReleaseID
	for _, app := range apps {
		if hop3.ValidateAppName(app) != nil {
			continue // .id and .lock
		}
		numbers, err := list(filepath.Join(s.dir, app))
		if err != nil {
			return nil, err
		}
		for _, n := range numbers {
			number, err := strconv.Atoi(n)
			if err != nil {
				continue
			}
			id := hop3.ReleaseID{App: app, Number: number}
			if records, err := s.release(id); err != nil {
				return nil, err
			} else if len(records) > 0 {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

func (s *states) all() ([]record, error) {
	ids, err := s.releases()
	if err != nil {
		return nil, err
	}
	var all []record
	for _, id := range ids {
		records, err := s.release(id)
		if err != nil {
			return nil, err
		}
		all = append(all, records...)
	}
	return all, nil
}

func (s *states) releaseDir(id hop3.ReleaseID) string {
	return filepath.Join(s.dir, id.App, strconv.Itoa(id.Number))
}

func (s *states) file(id hop3.ReleaseID, processType string, ordinal int) string {
	return filepath.Join(s.releaseDir(id), fmt.Sprintf("%s.%d.json", processType, ordinal))
}

// list returns the names in a directory; none when it does not exist.
func list(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// overwriteFile writes JSON over that of an existing file. It is one write of
// less than a page, which a killed server has made or has not. Renaming a new
// file over the old one takes a hundred times as long, where the file system
// then waits for the disk, as ext4 does.
//
// Nothing here waits for the disk: no process survives a crash of the machine,
// so what is lost with it describes nothing.
func overwriteFile(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		// White space covers what the file held beyond.
		padding := max(int(info.Size())-len(content), 0)
		_, err = f.WriteAt(append(content, bytes.Repeat([]byte{' '}, padding)...), 0)
	}
	return errors.Join(err, f.Close())
}

// replaceFile writes a file so that readers, also those after a crash of the
// server, see all of the content or none.
func replaceFile(file string, content []byte) error {
	tmp := file + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, file)
}
