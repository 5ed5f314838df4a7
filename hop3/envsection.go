package hop3

// EnvSection is what a manifest says about the app's variables.
type EnvSection struct {
	Static Env // literal values
	// Override makes each deploy set the Static values again; otherwise a
	// variable that exists keeps its value.
	Override   bool
	Generated  map[string]Generate  // secrets, made once
	Defaults   Env                  // values for what is not set otherwise
	Required   map[string]string    // what must be set for a deploy, and what it is for
	References map[string]Reference // what the server knows, set by each deploy
	Computed   Env                  // templates over the other variables, set by each deploy
}

// Reference is a variable whose value is a fact about the app, or about one of
// its addons.
type Reference struct {
	Fact string // FactDomain, FactHostname or FactName; of an addon, what AddonFactNames say
	From string // the addon, "" for a fact about the app
}

// The facts about an app. That of the domain is missing without one.
const (
	FactDomain   = "domain"   // the app's first public host
	FactHostname = "hostname" // the first of its hosts, public or not
	FactName     = "name"     // its name
)

// Generate describes a secret the server makes when the variable is unset.
type Generate struct {
	Kind    string // hex, base64, urlsafe, password or uuid
	Length  int    // 0 means the kind's default
	Prefix  string
	Display bool // show it once to who deploys
}

// HostName is the variable that holds the hosts of an app beside the one every
// app has, between blanks or commas.
const HostName = "HOST_NAME"

// Where the value of a variable comes from, as `hop3 env show --sources` says.
const (
	OriginConfig    = "config"    // set by a user, for the app or with a deploy
	OriginFile      = "ENV"       // the file ENV of the source
	OriginManifest  = "hop3.toml" // [env]
	OriginAppJSON   = "app.json"  // env
	OriginGenerated = "generated" // a secret that the server made for [env]
	OriginAddon     = "addon"     // what an attached addon gives
	OriginDomains   = "[domains]" // HOST_NAME by the manifest
	OriginReference = "reference" // [env], what the server knows
	OriginComputed  = "computed"  // [env.computed]
	OriginToolchain = "toolchain" // what was built needs it
	OriginServer    = "server"    // every process gets it
)

// OriginStored reports whether variables of that origin are kept with the app,
// and not found anew by each deploy.
func OriginStored(origin string) bool {
	switch origin {
	case OriginConfig, OriginManifest, OriginAppJSON, OriginGenerated, OriginReference, OriginComputed:
		return true
	}
	return false
}
