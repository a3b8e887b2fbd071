"""Votes made elsewhere, and votes for elsewhere: every format, both ways."""

from lfkit.vote_files.reading import read_votes as read_votes
from lfkit.vote_files.vote_file import VoteFile as VoteFile
from lfkit.vote_files.writing import FORMATS as FORMATS
from lfkit.vote_files.writing import write_votes as write_votes
