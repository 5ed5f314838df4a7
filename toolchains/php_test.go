package toolchains_test

import (
	"testing"

	"github.com/abilian/hop3/hop3/hop3test"
	"github.com/abilian/hop3/toolchains"
)

func TestPHP(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.PHP), "../tests/apps/php", "Hello from php, release 1")
}

func TestPHP_Composer(t *testing.T) {
	hop3test.Toolchain(t, new(toolchains.PHP), "../tests/apps/composer", "Hello from composer, release 1")
}

func TestPHP_OffersWhatServes(t *testing.T) {
	const serve = "php -S ${BIND_ADDRESS:-127.0.0.1}:$PORT -t ./"
	offers(t, new(toolchains.PHP), "../tests/apps/php", []offer{
		{"", "php: .: " + serve + "."},
		{"php: pages", ""},
		{"web: ./serve", ""},
	})
	offers(t, new(toolchains.PHP), "../tests/apps/composer", []offer{{"", "php: public: " + serve + "public"}})
	offers(t, new(toolchains.PHP), "../tests/apps/composer/packages/greeting", []offer{{"", ""}})
}
