package hop3

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"strings"
	"time"
)

// Backup is a copy of all that an app has: source, repository, data, volumes,
// variables, addons; or, without an app, of the server's own database.
type Backup struct {
	ID    string // see NewBackupID
	App   string // "" for one of the server itself
	Kind  BackupKind
	State BackupState
	// Label is a name that somebody gave it: "before the migration".
	Label string
	// Dir is where it lies on this server, "" when it does not.
	Dir string
	// Remote is where its copy off the server lies, "" without one. It is set
	// only once that copy has been read back and compared.
	Remote string
	Size   int64 // bytes, of all its files
	Files  int
	// Sum is the checksum of its metadata, which has those of all other files.
	Sum       string
	Release   int    // that served when it was made; 0 for none
	Commit    string // of that release
	Addons    []AddonID
	Encrypted bool
	// Error says why State is BackupFailed.
	Error     string
	CreatedBy string // username; "" for the server itself
	// Team and AppCreatedAt say whose app it is of, also once there is none,
	// or another one, of that name.
	Team         string
	AppCreatedAt time.Time
	CreatedAt    time.Time
	EndedAt      time.Time // zero while it is being made
	// ProvenAt is when it was last restored into a scratch place and found
	// equal to what was saved; zero for never. Proof is what the last attempt
	// found, also when that failed.
	ProvenAt time.Time
	Proof    string
}

// BackupKind says what made a backup.
type BackupKind string

// The kinds of backup.
const (
	BackupManual     BackupKind = "manual"
	BackupScheduled  BackupKind = "scheduled"  // by [backup].schedule; [backup].keep of them are kept
	BackupSafety     BackupKind = "safety"     // before a restore replaced what there was
	BackupRegistered BackupKind = "registered" // made elsewhere
	BackupPlatform   BackupKind = "platform"   // of the server's own database
	// BackupMove is what goes to another server with an app: it is no backup
	// that anybody knows, and is never encrypted, since that server has no key.
	BackupMove BackupKind = "move"
)

// BackupState is where a backup is in its life.
type BackupState string

// The states of a backup.
const (
	BackupStarted BackupState = "STARTED"
	// BackupUploading is complete on this server, and not off it yet.
	BackupUploading BackupState = "UPLOADING"
	BackupCompleted BackupState = "COMPLETED"
	BackupFailed    BackupState = "FAILED"
)

// Place is the directory of a backup below the one of all backups, and below
// the prefix of a target off the server.
func (b Backup) Place() string {
	switch {
	case b.Kind == BackupMove:
		return "moving/" + b.App + "/" + b.ID
	case b.App == "":
		return "platform/" + b.ID
	}
	return "apps/" + b.App + "/" + b.ID
}

const backupTime = "20060102_150405"

// NewBackupID returns the ID of a backup that is made now: the time, in UTC,
// and 6 hexadecimal digits.
func NewBackupID(now time.Time) string {
	var b [3]byte
	_, _ = rand.Read(b[:]) // never fails
	return now.UTC().Format(backupTime) + "_" + hex.EncodeToString(b[:])
}

var backupID = pattern(`^[0-9]{8}_[0-9]{6}_[0-9a-f]{6}$`)

// BackupTimeOf returns the time that an ID says; zero when it is none.
func BackupTimeOf(id string) time.Time {
	if ValidateBackupID(id) != nil {
		return time.Time{}
	}
	t, _ := time.Parse(backupTime, id[:len(backupTime)]) // a 31st of February is no time
	return t
}

// ValidateBackupID reports a CodeInvalid error unless id can be a backup's.
func ValidateBackupID(id string) error {
	if backupID().MatchString(id) {
		return nil
	}
	return Errorf(CodeInvalid, "%q is not the ID of a backup", shorten(id, 80)).
		WithHint("`hop3 backup list` shows them: 20261126_031500_a1b2c3.")
}

// MaxBackupLabel bounds a label, in bytes.
const MaxBackupLabel = 100

// ValidateBackupLabel reports a CodeInvalid error unless label can be a
// backup's: one line of text.
func ValidateBackupLabel(label string) error {
	bad := func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\uFFFD' }
	if len(label) > MaxBackupLabel || strings.ContainsFunc(label, bad) {
		return Errorf(CodeInvalid, "%q cannot be the label of a backup", shorten(label, 80)).
			WithHint("A label is one line of at most %d bytes.", MaxBackupLabel)
	}
	return nil
}

// BackupFormat is the version of the format of BackupMetadata.
const BackupFormat = "1.0"

// BackupMetadata is the file metadata.json of a backup, as Hop3 (Python) reads
// and writes it (deployment reference §7.1). What is ours beside lies in maps
// of which it reads single keys.
type BackupMetadata struct {
	ID            string             `json:"backup_id"`
	App           string             `json:"app_name"`
	CreatedAt     string             `json:"created_at"` // ISO 8601
	FormatVersion string             `json:"format_version"`
	Hop3Version   string             `json:"hop3_version"`
	Size          int64              `json:"size_bytes"` // of the files at the top, without metadata.json
	Checksums     map[string]string  `json:"checksums"`  // path -> "sha256:<hex>"
	AppMetadata   BackupAppMetadata  `json:"app_metadata"`
	Addons        []BackupAddon      `json:"addons"`
	EnvCount      int                `json:"env_vars_count"`
	ExpiresAfter  int64              `json:"expires_after"` // seconds; 0 for never
	Volumes       []BackupVolumeFile `json:"volumes"`
	ExtraPaths    []string           `json:"extra_paths"`
}

// BackupAppMetadata is what a backup says of the app itself.
type BackupAppMetadata struct {
	Hostname string     `json:"hostname"`
	Port     int        `json:"port"`
	RunState any        `json:"run_state"` // a number or a word
	Hop3     *BackupOwn `json:"hop3,omitempty"`
}

// BackupOwn is what a backup by this Hop3 says beside, none of it secret.
type BackupOwn struct {
	Kind    BackupKind `json:"kind"`
	Label   string     `json:"label,omitempty"`
	Release int        `json:"release,omitempty"`
	Commit  string     `json:"commit,omitempty"`
	Branch  string     `json:"branch,omitempty"`
	Subject string     `json:"subject,omitempty"`
	// Encryption is "age" when each other file's name ends in ".age", "" when
	// they are as they are.
	Encryption string `json:"encryption,omitempty"`
	// Trees says by its name what each tree of the archives holds, to be
	// compared with what a restore makes of it.
	Trees map[string]BackupTree `json:"trees,omitempty"`
}

// BackupTree is what a directory holds.
type BackupTree struct {
	Files int64 `json:"files"` // directories and links, too
	Bytes int64 `json:"bytes"`
	// Sum is over names, kinds, modes and contents: "blake3:<hex>".
	Sum string `json:"sum"`
}

// BackupSettings is the file settings.json of a backup: what of an app's
// settings is not among its variables. It may hold secrets.
type BackupSettings struct {
	DeployBranch string
	Source       string
	Scale        map[string]int
	HTTP         HTTPSettings
}

// BackupDir is a directory that goes into an archive.
type BackupDir struct {
	Name string // in the archive: "src"
	Path string
	// Exclude are patterns of files to leave out, by their path, their name or
	// that of a directory they are in.
	Exclude []string
	// NoLinksTo leaves symbolic links out that lead into this directory.
	NoLinksTo string
	// Optional says that it need not exist.
	Optional bool
	// Stamps leaves files out that are as at an earlier look, and remembers
	// this one; nil takes all.
	Stamps *FileStamps
	// Read, unless it is nil, is called with how many bytes of it were read, as
	// they are.
	Read func(bytes int64)
}

// BackupWriter writes the files of one backup. It is one only once Commit has
// returned: until then its directory has another name.
type BackupWriter interface {
	// Archive writes directories into a tar.gz file, and returns what each
	// holds, and how many files changed while they were read.
	Archive(ctx context.Context, name string, dirs ...BackupDir) (trees map[string]BackupTree, changed int, err error)
	// File writes a file of what write writes, and returns how many bytes
	// that was.
	File(ctx context.Context, name string, write func(w io.Writer) error) (int64, error)
	// Encrypts reports whether what is written can be read by the owner of a
	// key only.
	Encrypts() bool
	// Commit completes the metadata, writes it, and makes the backup durable.
	Commit(ctx context.Context, m BackupMetadata) (BackupMetadata, error)
	// Abort removes what was written; after Commit it does nothing.
	Abort() error
}

// BackupReader reads a backup. Its names are those of the files without
// encryption.
type BackupReader interface {
	Metadata() BackupMetadata
	// Sum is the checksum of the metadata, as in Backup.
	Sum() string
	// Check compares all files with their checksums; the error lists those
	// that are missing or differ.
	Check(ctx context.Context) error
	Has(name string) bool
	// Watch has a function be called with how many bytes of the files were
	// read, as they are, from now on; nil ends it.
	Watch(read func(bytes int64))
	// Read gives the content of a file to read, which must not keep it.
	Read(ctx context.Context, name string, read func(r io.Reader) error) error
	// Extract unpacks an archive. Its members are below one directory each,
	// which into says where to unpack; "" leaves it out.
	Extract(ctx context.Context, name string, into func(top string) string) error
}

// BackupAddon is the dump of an addon in a backup.
type BackupAddon struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	File    string `json:"backup_file"`
	Size    int64  `json:"size_bytes"`
	Primary bool   `json:"primary"`
	// Inventory is what the addon held; nil when who made the backup did not
	// count it.
	Inventory Inventory           `json:"inventory,omitempty"`
	Options   map[string][]string `json:"options,omitempty"`
}

// BackupVolumeFile is the archive of a volume in a backup.
type BackupVolumeFile struct {
	Name string `json:"name"`
	File string `json:"backup_file"`
}

// AddonIDs are the addons that a backup has dumps of.
func (m BackupMetadata) AddonIDs() []AddonID {
	var ids []AddonID
	for _, a := range m.Addons {
		ids = append(ids, AddonID{a.Type, a.Name})
	}
	return ids
}

// Own is what a backup of this Hop3 says beside; empty for one of Hop3
// (Python).
func (m BackupMetadata) Own() BackupOwn {
	if m.AppMetadata.Hop3 == nil {
		return BackupOwn{}
	}
	return *m.AppMetadata.Hop3
}

// BackupPolicy is the section [backup] of an app.
type BackupPolicy struct {
	Schedule string `json:",omitempty"` // of cron; "" for no backups by themselves
	TimeZone string `json:",omitempty"`
	Keep     int    `json:",omitempty"` // of those by the schedule; 0 leaves it to the server
	// Proven is how old the newest backup that was restored for a proof may
	// be; 0 means twice the time between two turns of the schedule.
	Proven  time.Duration `json:",omitempty"`
	Paths   []string      `json:",omitempty"` // of the app's directory, beside the usual
	Exclude []string      `json:",omitempty"` // patterns of files of the source to leave out
	// Stop has the app stopped while its files are copied.
	Stop bool `json:",omitempty"`
	// Local has it that nothing of the app's backups leaves the server.
	Local bool `json:",omitempty"`
}

// Empty reports whether the policy says nothing.
func (p BackupPolicy) Empty() bool {
	return p.Schedule == "" && p.TimeZone == "" && p.Keep == 0 && p.Proven == 0 && !p.Stop && !p.Local && len(p.Paths)+len(p.Exclude) == 0
}

// BackupRestore is a restore that is under way: what the next start needs to
// undo it.
type BackupRestore struct {
	Target string // the app
	Backup string // ID
	// Created says that the app was made for the restore.
	Created bool
	// Safety is the ID of the backup of what the app had before, "" when it
	// had nothing.
	Safety string
	// Swapped says that the app's files are those of the backup, and those
	// from before beside them.
	Swapped bool
	Before  *RestoredApp // the app's settings from before
	// Made are the addons made for it; Replaced those whose content is, or may
	// be, half replaced.
	Made, Replaced []AddonID
	StartedAt      time.Time
}

// RestoredApp is what of an app a restore changes.
type RestoredApp struct {
	Env          Env
	Scale        map[string]int
	HTTP         HTTPSettings
	DeployBranch string
	Source       string
	State        State
	Live         int
	Attachments  []Attachment
}
