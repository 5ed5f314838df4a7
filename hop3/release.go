package hop3

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Release is commit + artifact + env + processes: numbered, immutable once it
// is live.
type Release struct {
	App    string
	Number int // from 1, per app, never reused
	Kind   ReleaseKind
	Status ReleaseStatus
	// Source identifies what was built.
	Commit  string // full hash; empty for uploads
	Branch  string
	Author  string // of the commit
	Subject string // first line of the commit's message
	User    string // who asked for the release
	// Build is the number of the release whose directory holds the artifact:
	// this one, unless only env, scale or routing changed.
	Build    int
	Artifact Artifact
	Env      Env // the full environment, frozen
	// Origins says where each variable of Env comes from: an Origin… constant.
	// Releases made before it was kept have none.
	Origins   map[string]string
	Processes []Process
	Health    HealthCheck
	// StartTimeout is how long the instances may take to become ready.
	StartTimeout time.Duration
	Hosts        []string
	AllowHTTP    bool // plain HTTP is served too, not redirected
	// HTTP is what the proxy does with the requests, nil for nothing special:
	// the policy of HTTPLayers.
	HTTP       *HTTPPolicy
	HTTPLayers HTTPLayers
	WAF        *WAF // the firewall in front of it; nil for none
	Limits     Limits
	// Scaling says how the number of instances follows the load, and whether
	// the app sleeps. The key ProcessWeb means the process that serves HTTP,
	// whatever its type; there is no other key yet.
	Scaling map[string]Scaling
	Cron    []CronEntry
	Volumes []Volume
	// Keep is how many releases have their files kept while this one is live;
	// 0 means the server's default.
	Keep int
	// Static are the URL paths that are files or directories of the release:
	// normalized prefix -> path below its source.
	Static map[string]string
	Backup BackupPolicy
	Ports  []Port // fixed ones of the host, which the app listens on
	// Error says why Status is ReleaseFailed.
	Error     string
	CreatedAt time.Time
	// LiveAt is when the release began to serve; zero before.
	LiveAt time.Time
	// Took is how long making it took, until it served or failed; 0 before.
	Took time.Duration
	// Ref is the move of the deploy branch that this release was pushed with
	// and that git has not confirmed yet; nil otherwise. See
	// platform.Reconcile for what a crash in between means.
	Ref *RefMove
}

// ReleaseKind says what made a release.
type ReleaseKind string

// The kinds of release.
const (
	ReleasePush     ReleaseKind = "push"
	ReleaseUpload   ReleaseKind = "upload"
	ReleaseEnv      ReleaseKind = "env"
	ReleaseScale    ReleaseKind = "scale"
	ReleaseRestart  ReleaseKind = "restart"
	ReleaseRollback ReleaseKind = "rollback"
	ReleaseRedeploy ReleaseKind = "redeploy" // the live commit, built again
	ReleaseFetch    ReleaseKind = "fetch"    // from the app's source repository
	ReleaseHTTP     ReleaseKind = "http"
	ReleaseAddon    ReleaseKind = "addon"   // attached, detached, or with other credentials
	ReleaseRestore  ReleaseKind = "restore" // from a backup
)

// ReleaseStatus is where a release is in its life.
type ReleaseStatus string

// The statuses of a release. Only one release of an app is live.
const (
	ReleaseBuilding ReleaseStatus = "building" // being built or started
	ReleaseLive     ReleaseStatus = "live"     // serving
	ReleaseRetired  ReleaseStatus = "retired"  // served once
	ReleaseReady    ReleaseStatus = "ready"    // was started, answered and was stopped; has not served yet
	ReleaseFailed   ReleaseStatus = "failed"   // never served
)

// RefMove is a move of a git reference.
type RefMove struct {
	Name string // refs/heads/main
	Old  string // full hash, all zeros for a new reference
	New  string // full hash
}

// ReleaseID names a release of an app.
type ReleaseID struct {
	App    string
	Number int
}

// EnvDigest tells the environments of two releases apart, and nothing of what is
// in them to who does not know it: 8 hexadecimal digits.
func (r Release) EnvDigest() string {
	h := sha256.New()
	for _, v := range r.Env.Environ() {
		_, _ = h.Write([]byte(v + "\x00")) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))[:8]
}

// ID names the release.
func (r Release) ID() ReleaseID { return ReleaseID{App: r.App, Number: r.Number} }
